//! The runner: `make bench` builds everything for release and starts it.

use std::fs;

use bench::process::raise_descriptor_limit;
use bench::scenarios::{self, ALL, Findings, Options, Scenario};
use bench::sides::{self, Side};
use bench::table;
use clap::Parser;

/// Where the results go, for programs.
const RESULTS: &str = "target/bench.json";

/// Runs each scenario against each side in turn, and says which targets are met.
#[derive(Debug, Parser)]
struct Arguments {
    /// A few seconds a scenario, and no brokers of others unless they are named.
    #[arg(long)]
    quick: bool,
    /// This scenario alone (may be given several times).
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
    /// These sides, with commas between.
    #[arg(long, value_enum, value_delimiter = ',')]
    sides: Vec<Side>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Servers inherit it: 10,000 subscribers need as many descriptors.
    let _ = raise_descriptor_limit();
    let sides = match arguments.sides.as_slice() {
        [] if arguments.quick => vec![Side::Ours, Side::Bare, Side::SockjsNode],
        [] => sides::ALL.to_vec(),
        sides => sides.to_vec(),
    };
    let options = Options {
        quick: arguments.quick,
        sides,
    };
    let mut findings = Findings::default();
    for scenario in ALL {
        if arguments.only.is_empty() || arguments.only.contains(&scenario) {
            say(&format!("measuring {scenario:?}"));
            scenarios::run(scenario, &options, &mut findings)?;
        }
    }
    say(&table::table(&findings.rows));
    fs::write(RESULTS, serde_json::to_string_pretty(&findings)?)?;
    let missed = findings.rows.iter().filter_map(|row| row.target.as_ref());
    let missed = missed.filter(|target| !target.met).count();
    anyhow::ensure!(missed == 0, "{missed} targets are not met");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what the program is for")]
fn say(text: &str) {
    println!("{text}");
}
