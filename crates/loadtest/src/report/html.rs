//! The page of a run. Every text goes through maud, which escapes it.

use std::fmt::Write as _;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use super::plot::{self, Ground, PlotError};
use super::rows::{WRONG, cores};
use super::ticks::{latency, number, whole};
use super::verdict::Tone;
use super::{Chart, Report};
use crate::assertion::main_latency;
use crate::measure::Counts;
use crate::scenario::Span;

pub(super) fn page(report: &Report<'_>) -> Result<String, PlotError> {
    let scenario = &report.outcome.scenario;
    let title = format!("Load test: {}", scenario.name);
    let figures = figures(report)?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Whatever gets into the page: nothing is fetched, and nothing is run.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) ", " (report.verdict().headline) }
                style { (PreEscaped(STYLE)) (PreEscaped(colours())) }
            }
            body {
                main {
                    (head(report, &title))
                    (verdict(report))
                    (cards(report))
                    (assertions(report))
                    (figures)
                    (latencies(report))
                    (counts(report))
                    (endings(report))
                    (generator(report))
                    (notes(report))
                    (scenario_text(report))
                }
            }
        }
    };
    Ok(page.into_string())
}

fn head(report: &Report<'_>, title: &str) -> Markup {
    let outcome = report.outcome;
    html! {
        header {
            h1 { (title) }
            @if !outcome.scenario.description.is_empty() {
                p { (outcome.scenario.description) }
            }
            p class="faint" {
                (date(outcome.started_at)) " · " (outcome.devices) " devices · " code { (outcome.endpoint) }
                " · run " code { (outcome.run) }
                @if let Some(shard) = outcome.shard {
                    " · shard " (shard.index) " of " (shard.count) ", counted from 0"
                }
            }
        }
    }
}

fn verdict(report: &Report<'_>) -> Markup {
    let verdict = report.verdict();
    let class = match verdict.tone {
        Tone::Good => "good",
        Tone::Doubtful => "doubtful",
        Tone::Bad => "bad",
    };
    html! {
        section class={ "verdict " (class) } {
            h2 { (verdict.headline) }
            ul {
                @for sentence in &verdict.sentences { li { (sentence) } }
            }
        }
    }
}

fn cards(report: &Report<'_>) -> Markup {
    let outcome = report.outcome;
    let mut cards: Vec<(String, String, String)> = Vec::new();
    let expected = outcome.expected.rates.total();
    if outcome.scenario.publishes() {
        cards.push((
            "Messages per second".to_owned(),
            whole(outcome.observed.total()),
            format!("of {} expected", whole(expected)),
        ));
        if let Some(lost) = outcome.lost {
            let copies = outcome.counts.published as f64 * outcome.expected.copies;
            let about = format!("of {} copies", whole(copies));
            cards.push(("Lost".to_owned(), whole(lost as f64), about));
        } else if outcome.shard.is_some() {
            let about = "known once shards are merged";
            cards.push(("Lost".to_owned(), "unknown".to_owned(), about.to_owned()));
        }
    }
    let main = main_latency(&outcome.scenario);
    if let Some(summary) = outcome.latencies.get(&main) {
        cards.push((
            format!("{main}, 99 of 100 within"),
            latency(summary.p99),
            format!("half within {}", latency(summary.p50)),
        ));
    }
    cards.push((
        "Connections".to_owned(),
        whole(outcome.counts.connects as f64),
        format!(
            "of {} devices, {} lost",
            outcome.devices, outcome.counts.disconnects
        ),
    ));
    cards.push((
        "Generator".to_owned(),
        format!("{} cores", number((cores(report) * 100.0).round() / 100.0)),
        format!(
            "of {}, {}",
            outcome.generator.threads,
            match outcome.generator.limited.is_empty() {
                true => "not the limit",
                false => "the limit",
            }
        ),
    ));
    html! {
        dl class="cards" {
            @for (name, value, about) in &cards {
                div class="card" { dt { (name) } dd { (value) } dd { (about) } }
            }
        }
    }
}

fn assertions(report: &Report<'_>) -> Markup {
    html! {
        @if !report.assertions.is_empty() {
            h2 { "What was asserted" }
            div class="wide" { table {
                thead { tr { th { "Assertion" } th { "Result" } th { "Found" } } }
                tbody {
                    @for held in report.assertions {
                        tr {
                            td { code { (held.assertion) } }
                            @if held.held { td class="held" { "held" } } @else { td class="failed" { "failed" } }
                            td { (held.found) }
                        }
                    }
                }
            } }
        }
    }
}

fn figures(report: &Report<'_>) -> Result<Markup, PlotError> {
    let mut figures = Vec::new();
    for chart in Chart::ALL {
        if let Some(plot) = chart.plot(report) {
            let shaded = plot.shade.is_some();
            figures.push((chart, shaded, plot::svg(&plot, Ground::Page)?));
        }
    }
    let quiet = !figures.iter().any(|(chart, ..)| *chart == Chart::Errors);
    Ok(html! {
        @for (chart, shaded, svg) in &figures {
            figure id=(chart.name()) {
                h2 { (chart.title()) }
                (PreEscaped(svg))
                figcaption {
                    (chart.explanation())
                    @if *shaded { " What is shaded was measured; the rest is getting there, and what was still on its way." }
                }
            }
        }
        @if figures.is_empty() { p { "It ended before a second had passed, so that there is nothing to be drawn." } }
        @else if quiet { p { "There were no errors in any second." } }
    })
}

fn latencies(report: &Report<'_>) -> Markup {
    let main = main_latency(&report.outcome.scenario);
    html! {
        @if !report.outcome.latencies.is_empty() {
            h2 { "Latencies" }
            p class="faint" { "In milliseconds; p99 is what 99 of 100 took at most." }
            div class="wide" { table {
                thead { tr {
                    th { "Latency" }
                    @for name in ["count", "p50", "p90", "p99", "p99.9", "max"] { th class="number" { (name) } }
                } }
                tbody {
                    @for (latency, summary) in &report.outcome.latencies {
                        tr class=[(*latency == main).then_some("main")] {
                            td { (latency) br; span class="faint" { (latency.meaning()) } }
                            td class="number" { (summary.count) }
                            @for value in [summary.p50, summary.p90, summary.p99, summary.p999, summary.max] {
                                td class="number" { (format!("{value:.2}")) }
                            }
                        }
                    }
                }
            } }
        }
    }
}

fn counts(report: &Report<'_>) -> Markup {
    let meanings = Counts::meanings();
    let all = report.outcome.counts.named();
    let rows = all.iter().zip(&meanings);
    // What is 0 is told of what must be 0.
    let rows = rows.filter(|((name, count), _)| *count > 0 || WRONG.contains(name));
    html! {
        h2 { "Counts" }
        div class="wide" { table {
            thead { tr { th { "Count" } th class="number" { "Number" } th { "Of what" } } }
            tbody {
                @for ((name, count), (_, meaning)) in rows {
                    tr { td { (name) } td class="number" { (count) } td class="faint" { (meaning) } }
                }
            }
        } }
    }
}

fn endings(report: &Report<'_>) -> Markup {
    html! {
        @if !report.outcome.endings.is_empty() {
            h2 { "How connections and attempts ended" }
            div class="wide" { table {
                thead { tr { th { "Ending" } th class="number" { "Number" } } }
                tbody {
                    @for (ending, count) in &report.outcome.endings {
                        tr { td { (ending) } td class="number" { (count) } }
                    }
                }
            } }
        }
    }
}

fn generator(report: &Report<'_>) -> Markup {
    let generator = &report.outcome.generator;
    html! {
        h2 { "The generator" }
        div class="wide" { table { tbody {
            tr { td { "CPU while it was measured" } td class="number" { (format!("{:.2} s", generator.cpu_seconds)) } }
            tr { td { "CPU over all" } td class="number" { (format!("{:.2} s", generator.total_cpu_seconds)) } }
            tr { td { "Threads" } td class="number" { (generator.threads) } }
            tr { td { "Most memory" } td class="number" { (format!("{:.1} MB", generator.peak_memory as f64 / 1e6)) } }
            tr { td { "Measured time" } td class="number" { (format!("{:.1} s", report.outcome.measured_seconds)) } }
        } } }
        @for reason in &generator.limited { p { "It was the limit: " (reason) "." } }
    }
}

fn notes(report: &Report<'_>) -> Markup {
    html! {
        @if !report.outcome.notes.is_empty() {
            h2 { "Notes" }
            ul { @for note in &report.outcome.notes { li { (note) } } }
        }
    }
}

fn scenario_text(report: &Report<'_>) -> Markup {
    let scenario = &report.outcome.scenario;
    // A scenario was read from TOML, or could have been.
    let toml = toml::to_string_pretty(scenario).unwrap_or_default();
    let warm_up = scenario.warm_up > Span::default();
    html! {
        h2 { "Scenario" }
        @if warm_up { p class="faint" { "The first " (scenario.warm_up) " of publishing are not in the rates." } }
        details { summary { "As TOML" } pre { (toml) } }
    }
}

/// The plots' colours in those of the page, so that they are right in the dark too.
fn colours() -> String {
    let mut rules = String::new();
    for (value, name) in plot::colours() {
        for attribute in ["fill", "stroke"] {
            let _ = write!(
                rules,
                "figure svg [{attribute}=\"{value}\"]{{{attribute}:var(--{name})}}"
            );
        }
    }
    rules
}

/// Unix time in milliseconds, for a reader.
fn date(milliseconds: u64) -> String {
    const FORM: &[FormatItem<'_>] =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    i64::try_from(milliseconds / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|date| date.format(FORM).ok())
        .unwrap_or_else(|| format!("{milliseconds} ms of Unix time"))
}

const STYLE: &str = include_str!("page.css");
