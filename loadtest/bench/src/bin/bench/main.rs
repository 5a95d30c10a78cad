//! `bench`: the orchestrator. Measures all servers of `plan.toml` side by side, in one run on one machine.
//!
//! Within a round the servers run one after the other, so that a drift of the machine meets all alike. One server (of one
//! or several nodes, then with a Redis) and one load client live at a time, all fresh for every cell, all on a leash:
//! whatever ends the orchestrator ends them.
//! Prints the report; writes it and the raw values to `target/bench/` of the repository.
//!
//! - [`plan`]: what to measure.
//! - [`child`], [`servers`], [`redis`] and [`session`]: one server and one load client.
//! - [`measure`] and [`recovery`]: the steps of a cell.
//! - [`results`] and [`report`]: medians, ratios, verdicts; tables.

mod child;
mod measure;
mod plan;
mod recovery;
mod redis;
mod report;
mod results;
mod servers;
mod session;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::plan::{Plan, Settings};
use crate::results::Results;

const HELP: &str = "\
bench [--quick] [--plan FILE] [--out FOLDER] [--rounds N] [--only WORD]...

  --quick        one short round, about two minutes
  --plan FILE    what to measure (default plan.toml)
  --out FOLDER   where results go (default ../../target/bench)
  --rounds N     number of rounds
  --only WORD    only cells or servers whose name contains WORD; may be repeated, then any of the words of a kind counts
";

/// Exit code of a run that took longer than its limit.
const TOO_LONG: i32 = 124;

#[derive(Debug)]
struct Options {
    quick: bool,
    plan: PathBuf,
    out: PathBuf,
    rounds: Option<u32>,
    only: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let Some(options) = options(std::env::args().skip(1))? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let plan = Plan::read(&options.plan)?;
    let name = if options.quick { "quick" } else { "default" };
    let mut settings = plan.settings.get(name).with_context(|| format!("no settings {name:?}"))?.clone();
    settings.rounds = options.rounds.unwrap_or(settings.rounds);
    let limit = Duration::from_secs_f64(settings.limit_minutes * 60.0);
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("bench: not done after {limit:?}, giving up");
        std::process::exit(TOO_LONG);
    });
    let mut results = Results::new(environment(), settings.clone());
    measure_all(&plan, &settings, &options.only, &mut results);
    results.judge(&plan.targets);
    let report = report::markdown(&plan, &results);
    println!("\n{report}");
    write(&options.out, &report, &results)?;
    Ok(if results.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>> {
    let mut options = Options {
        quick: false,
        plan: "plan.toml".into(),
        out: "../../target/bench".into(),
        rounds: None,
        only: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--plan" => options.plan = value()?.into(),
            "--out" => options.out = value()?.into(),
            "--rounds" => options.rounds = Some(value()?.parse().context("--rounds needs a number")?),
            "--only" => options.only.push(value()?),
            "--help" | "-h" => return Ok(None),
            _ => bail!("unknown argument {argument}\n\n{HELP}"),
        }
    }
    Ok(Some(options))
}

fn measure_all(plan: &Plan, settings: &Settings, only: &[String], results: &mut Results) {
    for server in &plan.servers {
        if let Some(why) = servers::missing(server) {
            println!("not measured: {}: {why}", server.name);
            results.skipped.insert(server.name.clone(), why);
        }
    }
    let cell_names: Vec<_> = plan.cells.iter().map(|cell| cell.name.as_str()).collect();
    let server_names: Vec<_> = plan.servers.iter().map(|server| server.name.as_str()).collect();
    let (cells, servers) = (chosen(&cell_names, only), chosen(&server_names, only));
    let start = Instant::now();
    for round in 0..settings.rounds {
        for cell in plan.cells.iter().filter(|cell| cells.contains(&cell.name.as_str())) {
            for server in cell.servers.iter().filter(|name| servers.contains(&name.as_str())) {
                let Some(server) = plan.server(server) else {
                    continue;
                };
                if results.skipped.contains_key(&server.name) {
                    continue;
                }
                let mut values = Vec::new();
                let outcome = measure::cell(cell, server, settings, &mut values);
                let text: Vec<_> = values.iter().map(|(metric, value)| format!("{metric} {value:.2}")).collect();
                let seconds = start.elapsed().as_secs();
                println!("{seconds:4} s  round {}  {}  {}:  {}", round + 1, cell.name, server.name, text.join(", "));
                for (metric, value) in values {
                    results.add(&server.name, &metric, round, value);
                }
                if let Err(error) = outcome {
                    let failure = format!("round {}, {}, {}: {error:#}", round + 1, cell.name, server.name);
                    println!("        FAILED: {failure}");
                    results.failures.push(failure);
                }
            }
        }
    }
}

/// Names that contain one of the words; all, if none does.
fn chosen<'a>(names: &[&'a str], words: &[String]) -> Vec<&'a str> {
    let named: Vec<_> = names.iter().copied().filter(|name| words.iter().any(|word| name.contains(word))).collect();
    if named.is_empty() { names.to_vec() } else { named }
}

/// What the numbers depend on.
fn environment() -> BTreeMap<String, String> {
    let first_line = |text: String| text.lines().next().unwrap_or_default().trim().to_owned();
    let file = |path: &str| std::fs::read_to_string(path).map(first_line).unwrap_or_default();
    let output = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        output.map(|output| first_line(String::from_utf8_lossy(&output.stdout).into_owned())).unwrap_or_default()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    BTreeMap::from([
        ("cpu".to_owned(), format!("{} x {}", cores, model.trim_start_matches([' ', '\t', ':']))),
        ("kernel".to_owned(), file("/proc/sys/kernel/osrelease")),
        ("load average before".to_owned(), file("/proc/loadavg")),
        ("rustc".to_owned(), output("rustc", "--version")),
        ("node".to_owned(), output("node", "--version")),
        ("redis".to_owned(), output("redis-server", "--version")),
    ])
}

fn write(folder: &Path, report: &str, results: &Results) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let json = serde_json::to_string_pretty(results)?;
    let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for name in ["latest".to_owned(), time.to_string()] {
        std::fs::write(folder.join(format!("{name}.md")), report)?;
        std::fs::write(folder.join(format!("{name}.json")), &json)?;
    }
    println!("written to {}", folder.join("latest.{md,json}").display());
    Ok(())
}
