//! The results as Markdown, which is also what is printed.

use std::fmt::Write as _;

use crate::plan::{Bound, Plan};
use crate::results::{Outcome, Results};

/// Server whose values the table divides by.
const REFERENCE: &str = "floor";

/// The whole report.
pub(crate) fn markdown(plan: &Plan, results: &Results) -> String {
    let mut out = String::new();
    values(plan, results, &mut out);
    verdicts(results, &mut out);
    for (server, why) in &results.skipped {
        line(&mut out, format_args!("- not measured: {server}: {why}"));
    }
    for failure in &results.failures {
        line(&mut out, format_args!("- FAILED: {failure}"));
    }
    for (name, value) in &results.environment {
        line(&mut out, format_args!("- {name}: {value}"));
    }
    let settings = &results.settings;
    line(
        &mut out,
        format_args!(
            "- medians of {} round(s) of {} s (smallest to largest); ratios are medians of the ratios within a round",
            settings.rounds, settings.seconds
        ),
    );
    out
}

/// One row per metric, one column per server.
fn values(plan: &Plan, results: &Results, out: &mut String) {
    let servers: Vec<_> = plan.servers.iter().filter(|server| results.values.contains_key(&server.name)).collect();
    let titles: Vec<_> = servers.iter().map(|server| server.title.as_str()).collect();
    line(out, format_args!("| | {} |", titles.join(" | ")));
    line(out, format_args!("|---|{}", "---|".repeat(servers.len())));
    for metric in &plan.metrics {
        let cells: Vec<_> = servers.iter().map(|server| cell(results, &server.name, &metric.name)).collect();
        line(out, format_args!("| {} ({}) | {} |", metric.title, metric.unit, cells.join(" | ")));
    }
    out.push('\n');
}

fn cell(results: &Results, server: &str, metric: &str) -> String {
    let Some(median) = results.median(server, metric) else {
        return String::new();
    };
    let mut text = number(median);
    if let Some((smallest, largest)) = results.range(server, metric)
        && smallest < largest
    {
        text.push_str(&format!(" ({} to {})", number(smallest), number(largest)));
    }
    if server != REFERENCE
        && let Some(ratio) = results.ratio(server, REFERENCE, metric)
    {
        text.push_str(&format!(", {ratio:.2}x"));
    }
    text
}

fn verdicts(results: &Results, out: &mut String) {
    line(out, format_args!("| target | wanted | measured | |"));
    line(out, format_args!("|---|---|---|---|"));
    for verdict in &results.verdicts {
        let target = &verdict.target;
        let unit = if target.reference.is_some() { "x" } else { "" };
        let wanted = match target.bound {
            Bound::AtMost(bound) => format!("at most {bound}{unit}"),
            Bound::Above(bound) => format!("above {bound}{unit}"),
        };
        let reference = target.reference.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
        let measured = verdict.measured.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}{unit}"));
        let outcome = match verdict.outcome {
            Outcome::Pass => "pass",
            Outcome::Miss => "MISS",
            Outcome::NotMeasured => "not measured",
        };
        line(out, format_args!("| {} | {wanted}{reference} | {measured} | {outcome} |", target.title));
    }
    out.push('\n');
}

fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string cannot fail");
}
