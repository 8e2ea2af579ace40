//! What the sales come to. No I/O: bytes in, text out.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// A row of the file.
#[derive(Debug, Deserialize)]
struct Sale {
    region: String,
    product: String,
    quantity: u64,
    unit_price_cents: u64,
}

/// What the sales of one file come to, in cents.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Report {
    file: String,
    sales: usize,
    total: u64,
    by_region: BTreeMap<String, u64>,
    by_product: BTreeMap<String, u64>,
}

impl Report {
    /// Reads the file's bytes.
    pub(crate) fn of(file: &str, bytes: &[u8]) -> anyhow::Result<Self> {
        let mut report = Self { file: file.to_owned(), ..Self::default() };
        for (index, sale) in csv::Reader::from_reader(bytes).deserialize().enumerate() {
            let sale: Sale = sale.with_context(|| format!("{file}: sale {}", index + 1))?;
            let revenue = sale.quantity.checked_mul(sale.unit_price_cents);
            let revenue =
                revenue.with_context(|| format!("{file}: sale {} is too large", index + 1))?;
            report.sales += 1;
            report.total = report.total.saturating_add(revenue);
            for (revenues, name) in
                [(&mut report.by_region, sale.region), (&mut report.by_product, sale.product)]
            {
                let sum = revenues.entry(name).or_default();
                *sum = sum.saturating_add(revenue);
            }
        }
        ensure!(report.sales > 0, "{file} holds no sales");
        Ok(report)
    }

    /// How many sales there were.
    pub(crate) fn sales(&self) -> usize {
        self.sales
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Sales of {}\n", self.file)?;
        writeln!(f, "{} sales, {} in all.", self.sales, Euros(self.total))?;
        for (title, revenues) in [("region", &self.by_region), ("product", &self.by_product)] {
            writeln!(f, "\n| {title} | revenue |\n|---|---:|")?;
            for (name, revenue) in revenues {
                writeln!(f, "| {name} | {} |", Euros(*revenue))?;
            }
        }
        Ok(())
    }
}

/// An amount of cents, as people write it.
struct Euros(u64);

impl fmt::Display for Euros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "€ {}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALES: &str = "\
date,region,product,quantity,unit_price_cents
2026-11-01,North,Lamp,2,1999
2026-11-01,South,Chair,1,8900
2026-11-02,North,Chair,1,8900
";

    #[test]
    fn revenues_are_summed_by_region_and_product() {
        let report = Report::of("nov.csv", SALES.as_bytes()).unwrap();
        assert_eq!(
            report.to_string(),
            "# Sales of nov.csv\n\n3 sales, € 217.98 in all.\n\n\
             | region | revenue |\n|---|---:|\n| North | € 128.98 |\n| South | € 89.00 |\n\n\
             | product | revenue |\n|---|---:|\n| Chair | € 178.00 |\n| Lamp | € 39.98 |\n"
        );
    }

    #[test]
    fn a_row_that_is_no_sale_is_named() {
        let refused = Report::of("nov.csv", SALES.replace("1999", "cheap").as_bytes()).unwrap_err();
        assert!(refused.to_string().starts_with("nov.csv: sale 1"), "{refused}");
    }

    #[test]
    fn a_file_without_sales_is_refused() {
        let refused = Report::of("nov.csv", b"date,region\n").unwrap_err();
        assert_eq!(refused.to_string(), "nov.csv holds no sales");
    }
}
