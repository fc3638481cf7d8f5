//! What one value costs on the wire, on each way to hear of it: prints a table.

use bench::bytes::roads::Way;
use bench::bytes::{measure, table};
use clap::{Parser, ValueEnum as _};

/// Starts a server with one device, lets it change, and counts what clients send and receive for each change.
#[derive(Debug, Parser)]
struct Arguments {
    /// Changes that are counted.
    #[arg(long, default_value_t = 50)]
    values: u32,
    /// These ways, with commas between.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Way>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let ways = match arguments.only.as_slice() {
        [] => Way::value_variants(),
        ways => ways,
    };
    say(&table(&measure(ways, arguments.values.max(1))?));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what the program is for")]
fn say(text: &str) {
    println!("{text}");
}
