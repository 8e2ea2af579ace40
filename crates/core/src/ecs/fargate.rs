//! The sizes of tasks: how `cpu` and `memory` are written, and which pairs Fargate offers.
//!
//! Asked by the local ECS, which refuses other pairs, and for the attempt after one that ran out of memory.

use serde::Deserialize;

/// Reads a task's `cpu`: units, or vCPUs as `1 vCPU`; in units.
pub fn cpu_units(written: &str) -> Option<u32> {
    quantity(written, &["vcpu"])
}

/// Reads a task's `memory`: MiB, or GB as `0.5GB`; in MiB.
pub fn memory_mib(written: &str) -> Option<u32> {
    quantity(written, &["gb"])
}

/// A whole number of small units, or a decimal number of units that are 1,024 times as large.
fn quantity(written: &str, large_units: &[&str]) -> Option<u32> {
    let written = written.trim().to_ascii_lowercase();
    let Some(number) = large_units.iter().find_map(|unit| written.strip_suffix(unit)) else {
        return written.parse().ok().filter(|units| *units > 0);
    };
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let digits = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if !digits(whole)
        || !digits(fraction)
        || fraction.len() > 6
        || (whole.len() + fraction.len()) == 0
    {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let units = whole.checked_mul(1024)?.checked_add(fraction * 1024 / scale)?;
    u32::try_from(units).ok().filter(|units| *units > 0)
}

/// Whether Fargate offers the pair.
pub fn offers(cpu_units: u32, memory_mib: u32) -> bool {
    memory_sizes(cpu_units).any(|offered| offered == memory_mib)
}

/// The next larger memory that Fargate offers for so much `cpu`, in MiB; `None` if that is the largest.
pub fn next_memory_mib(cpu_units: u32, memory_mib: u32) -> Option<u32> {
    memory_sizes(cpu_units).find(|offered| *offered > memory_mib)
}

/// What Fargate offers for so much `cpu`, in MiB, rising; nothing for a `cpu` that it does not offer.
fn memory_sizes(cpu_units: u32) -> impl Iterator<Item = u32> {
    // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
    const GIB: usize = 1024;
    let (least, most, step) = match cpu_units {
        256 => (GIB, 2 * GIB, GIB),
        512 => (GIB, 4 * GIB, GIB),
        1024 => (2 * GIB, 8 * GIB, GIB),
        2048 => (4 * GIB, 16 * GIB, GIB),
        4096 => (8 * GIB, 30 * GIB, GIB),
        8192 => (16 * GIB, 60 * GIB, 4 * GIB),
        16384 => (32 * GIB, 120 * GIB, 8 * GIB),
        _ => (1, 0, 1),
    };
    let half = (cpu_units == 256).then_some(GIB / 2);
    half.into_iter().chain((least..=most).step_by(step)).filter_map(|mib| u32::try_from(mib).ok())
}

/// A task's storage beyond the 20 GiB that it always has.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EphemeralStorage {
    #[serde(rename = "sizeInGiB")]
    /// The whole of it, in GiB.
    pub size_in_gib: i64,
}

impl EphemeralStorage {
    /// Whether Fargate offers as much.
    pub fn is_offered(&self) -> bool {
        (21..=200).contains(&self.size_in_gib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_units_or_vcpus() {
        let table = [
            ("256", Some(256)),
            ("1 vCPU", Some(1024)),
            (".25 vcpu", Some(256)),
            ("0.5vCPU", Some(512)),
            ("4vcpu", Some(4096)),
            ("", None),
            ("0", None),
            ("-1", None),
            ("vcpu", None),
            ("1.x vcpu", None),
            ("256.5", None),
            ("99999999999 vcpu", None),
            ("large", None),
        ];
        for (written, expected) in table {
            assert_eq!(cpu_units(written), expected, "{written}");
        }
    }

    #[test]
    fn memory_is_mib_or_gb() {
        for (written, expected) in
            [("512", Some(512)), ("0.5GB", Some(512)), ("2 GB", Some(2048)), ("1MB", None)]
        {
            assert_eq!(memory_mib(written), expected, "{written}");
        }
    }

    #[test]
    fn fargate_offers_some_pairs_only() {
        let offered = [
            (256, 512),
            (256, 2048),
            (512, 4096),
            (1024, 3072),
            (4096, 30720),
            (8192, 61440),
            (16384, 122_880),
        ];
        for (cpu, memory) in offered {
            assert!(offers(cpu, memory), "{cpu} {memory}");
        }
        for (cpu, memory) in [
            (256, 4096),
            (256, 1536),
            (512, 512),
            (1024, 1024),
            (8192, 17408),
            (300, 512),
            (128, 512),
        ] {
            assert!(!offers(cpu, memory), "{cpu} {memory}");
        }
    }
}
