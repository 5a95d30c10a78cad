//! The results as Markdown, which is also what is printed.

use std::fmt::Write as _;

use crate::plan::{Bound, Part, Plan, Table};
use crate::results::{Outcome, Results};

/// The whole report.
pub(crate) fn markdown(plan: &Plan, results: &Results) -> String {
    let mut out = String::new();
    for table in &plan.tables {
        values(plan, table, results, &mut out);
    }
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

/// One row per metric and per part of it, one column per server. Nothing, if nothing of it was measured.
fn values(plan: &Plan, table: &Table, results: &Results, out: &mut String) {
    let measured = |metric: &str| plan.servers.iter().any(|server| results.median(&server.name, metric).is_some());
    let mut rows = Vec::new();
    for metric in plan.metrics.iter().filter(|metric| metric.table == table.name) {
        rows.push((metric.name.clone(), format!("{} ({})", metric.title, metric.unit)));
        rows.extend(Part::ALL.map(|part| (part.of(&metric.name), part.title().to_owned())));
    }
    rows.retain(|(metric, _)| measured(metric));
    let has_any = |server: &str| rows.iter().any(|(metric, _)| results.median(server, metric).is_some());
    let servers: Vec<_> = plan.servers.iter().filter(|server| has_any(&server.name)).collect();
    if servers.is_empty() {
        return;
    }
    let titles: Vec<_> = servers.iter().map(|server| server.title.as_str()).collect();
    line(out, format_args!("| {} | {} |", table.name, titles.join(" | ")));
    line(out, format_args!("|---|{}", "---|".repeat(servers.len())));
    for (metric, title) in &rows {
        let cells: Vec<_> = servers.iter().map(|server| cell(results, table, &server.name, metric)).collect();
        line(out, format_args!("| {title} | {} |", cells.join(" | ")));
    }
    out.push('\n');
}

fn cell(results: &Results, table: &Table, server: &str, metric: &str) -> String {
    let Some(median) = results.median(server, metric) else {
        return String::new();
    };
    let mut text = number(median);
    if let Some((smallest, largest)) = results.range(server, metric)
        && smallest < largest
    {
        text.push_str(&format!(" ({} to {})", number(smallest), number(largest)));
    }
    if let Some(reference) = table.reference.as_ref().filter(|reference| *reference != server)
        && let Some(ratio) = results.ratio(server, reference, metric)
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
        whole if whole.fract() == 0.0 => format!("{value:.0}"),
        large if large >= 1000.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_table_has_the_servers_and_rows_that_were_measured() {
        let plan = Plan::read(Path::new("plan.toml")).unwrap();
        let mut results = Results::new(BTreeMap::new(), plan.settings["quick"].clone());
        for (server, sum, redis) in [("carillon-redis", 20.0, 5.0), ("node-redis", 50.5, 2.5)] {
            results.add(server, "two_personal", 0, sum);
            results.add(server, "two_personal/redis", 0, redis);
        }
        let report = markdown(&plan, &results);
        let tables = report.split("| target |").next().unwrap();
        assert_eq!(
            tables,
            "| two nodes | Carillon, 2 nodes | Node, Redis adapter 8.3 |\n|---|---|---|\n\
             | 1000 rooms x 1, 5000/s (us CPU/delivery) | 20 | 50.5, 2.52x |\n\
             | of it: Redis | 5 | 2.50, 0.50x |\n\n"
        );
    }
}
