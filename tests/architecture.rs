//! The rules of the house that the compiler does not hold: which crate may depend on which, and on what.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

/// What cargo knows of every package in the lock file.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn packages() -> impl Iterator<Item = &'static Value> {
    METADATA["packages"].as_array().unwrap().iter()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

/// The names of all packages that `package` is built from, itself left out: not what its tests need.
fn built_from(package: &str) -> BTreeSet<String> {
    let names: BTreeMap<&str, &str> =
        packages().map(|package| (package["id"].as_str().unwrap(), name(package))).collect();
    let nodes: BTreeMap<&str, &Value> = METADATA["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    let (start, _) = names.iter().find(|(_, name)| **name == package).unwrap();
    let mut found = BTreeSet::new();
    let mut open = vec![*start];
    while let Some(id) = open.pop() {
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            let id = dependency["pkg"].as_str().unwrap();
            if kinds.iter().any(|kind| kind["kind"].is_null()) && found.insert(names[id].to_owned())
            {
                open.push(id);
            }
        }
    }
    found
}

/// Which of our own packages each is built from.
#[test]
fn dependencies_point_one_way() {
    let ours = |package: &str| -> Vec<String> {
        let direct = packages().find(|other| name(other) == package).unwrap();
        let direct = direct["dependencies"].as_array().unwrap().iter();
        let mut ours: Vec<_> = direct
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .filter(|name| name.starts_with("taskferry"))
            .collect();
        ours.sort();
        ours
    };
    let pattern = "taskferry-event-pattern";
    let (core, engine) = ("taskferry-core", "taskferry-engine");
    let (aws, local) = ("taskferry-aws", "taskferry-local");
    assert_eq!(ours(pattern), [""; 0]);
    assert_eq!(ours(core), [pattern]);
    assert_eq!(ours(engine), [core, pattern]);
    assert_eq!(ours(aws), [core, engine]);
    assert_eq!(ours(local), [core, engine, pattern]);
    let runtime = "taskferry-function-runtime";
    assert_eq!(ours(runtime), [aws, core, engine, local]);
    for function in ["s3", "eventbridge", "sweep", "task-state-change"] {
        let payload = if function == "sweep" { None } else { Some(core) };
        let expected: Vec<&str> = payload.into_iter().chain([runtime]).collect();
        assert_eq!(ours(&format!("taskferry-function-{function}")), expected);
    }
}

#[test]
fn core_and_event_pattern_are_pure() {
    for package in ["taskferry-core", "taskferry-event-pattern"] {
        let built_from = built_from(package);
        for other in &built_from {
            let is_impure = ["aws-", "lambda", "tokio", "hyper", "rusqlite", "rand", "tracing"]
                .iter()
                .any(|impure| other.starts_with(impure));
            assert!(!is_impure, "{package} is built from {other}");
        }
    }
}

#[test]
fn only_the_aws_crate_and_examples_name_the_sdk() {
    for package in packages().filter(|package| package["source"].is_null()) {
        let may =
            name(package) == "taskferry-aws" || name(package).starts_with("taskferry-example");
        for dependency in package["dependencies"].as_array().unwrap() {
            let dependency = dependency["name"].as_str().unwrap();
            let is_sdk = dependency.starts_with("aws-sdk") || dependency.starts_with("aws-smithy");
            assert!(may || !is_sdk, "{} names {dependency}", name(package));
        }
    }
}

/// The strings of a list in `deny.toml`.
fn denied(section: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let section = text.split(&format!("[{section}]\n")).nth(1).unwrap();
    let list = section.split(&format!("{key} = [")).nth(1).unwrap();
    let list = &list[..list.find("\n]").unwrap()];
    let lines = list.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

#[test]
fn every_licence_is_allowed() {
    let allowed = denied("licenses", "allow");
    assert!(allowed.len() > 5, "{allowed:?}");
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none").replace('/', " OR ");
        let is_allowed = |licence: &str| {
            let licence = licence.trim().trim_matches(['(', ')']);
            allowed.iter().any(|allowed| allowed == licence)
        };
        let one_of = |part: &str| part.split(" OR ").any(is_allowed);
        assert!(licence.split(" AND ").all(one_of), "{} is {licence}", name(package));
    }
}

#[test]
fn nothing_banned_is_built() {
    let banned = denied("bans", "deny");
    assert!(banned.len() > 3, "{banned:?}");
    for package in packages() {
        let is_old_hyper =
            name(package) == "hyper" && package["version"].as_str().unwrap().starts_with("0.");
        let is_banned = name(package) != "hyper" && banned.iter().any(|ban| ban == name(package));
        assert!(!is_banned && !is_old_hyper, "{} is banned", name(package));
    }
}

#[test]
fn no_file_is_too_long_to_read_at_a_sitting() {
    let mut folders = vec!["crates", "functions", "examples", "xtask", "tests", "benches"]
        .into_iter()
        .map(|folder| root().join(folder))
        .collect::<Vec<_>>();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = fs::read_to_string(&path).unwrap().lines().count();
                assert!(lines <= 650, "{} has {lines} lines", path.display());
            }
        }
    }
}
