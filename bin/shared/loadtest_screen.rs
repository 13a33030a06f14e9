//! What is seen while a load test runs: lines that are written anew on a terminal, a line now and then elsewhere, and
//! numbers for Prometheus.

use std::net::SocketAddr;

use jitp_cli::{Common, Panel, Result};
use jitp_loadtest::{Scenario, Tick};

/// What is seen while a load test runs.
pub(super) struct Progress {
    panel: Option<Panel>,
    common: Common,
    title: String,
    ticks: u64,
    last_phase: &'static str,
}

/// Without a terminal there is a line after so many seconds.
const EVERY: u64 = 10;

impl Progress {
    /// Begins to show it.
    ///
    /// # Errors
    /// When the address for Prometheus cannot be listened on.
    pub(super) async fn show(
        scenario: &Scenario,
        _metrics: Option<SocketAddr>,
        common: &Common,
    ) -> Result<Self> {
        Ok(Self {
            panel: Panel::show(!common.quiet),
            common: common.clone(),
            title: scenario.name.clone(),
            ticks: 0,
            last_phase: "",
        })
    }

    /// Shows a second.
    pub(super) fn tick(&mut self, tick: &Tick<'_>) {
        if let Some(panel) = &self.panel {
            panel.set(self.lines(tick));
        } else if tick.phase != self.last_phase || self.ticks.is_multiple_of(EVERY) {
            self.common.say(self.line(tick));
        }
        self.last_phase = tick.phase;
        self.ticks += 1;
    }

    fn line(&self, tick: &Tick<'_>) -> String {
        let (second, counts) = (tick.second, &tick.second.counts);
        let latency = match (second.p50, second.p99) {
            (Some(p50), Some(p99)) => format!(", p50 {p50:.1} ms, p99 {p99:.1} ms"),
            _ => String::new(),
        };
        format!(
            "{:.0} s: {}, {} of {} connected, {} published, {} delivered, {} forwarded{latency}{}",
            second.at,
            tick.phase,
            second.connected,
            tick.devices,
            counts.published,
            counts.delivered,
            counts.forwarded,
            warning(tick)
        )
    }

    fn lines(&self, tick: &Tick<'_>) -> String {
        let (second, now, all) = (tick.second, &tick.second.counts, tick.counts);
        let milliseconds = |value: Option<f64>| match value {
            Some(value) => format!("{value:.1} ms"),
            None => "-".to_owned(),
        };
        let lines = [
            format!(
                "{} {} {:.0} s   connected {} of {}   connects {}/s   failed attempts {}   disconnects {}",
                self.title,
                tick.phase,
                second.at,
                second.connected,
                tick.devices,
                now.connects,
                all.failed_attempts,
                all.disconnects
            ),
            format!(
                "published {}/s   delivered {}/s   forwarded {}/s   acknowledged {}/s",
                now.published, now.delivered, now.forwarded, now.acknowledged
            ),
            format!(
                "latency p50 {}   p99 {}   connect p99 {}",
                milliseconds(second.p50),
                milliseconds(second.p99),
                milliseconds(second.connect_p99)
            ),
            format!(
                "duplicated {}   reordered {}   misrouted {}   late {}   generator {:.0} %{}",
                all.duplicated,
                all.reordered,
                all.misrouted,
                all.late,
                tick.load * 100.0,
                warning(tick)
            ),
        ];
        lines.join("\n")
    }
}

/// A generator that works this much measures itself.
const BUSY: f64 = 0.8;

fn warning(tick: &Tick<'_>) -> String {
    match tick.load > BUSY {
        true => format!(
            "   warning: the generator uses {:.0} % of its time: what is measured may be its own",
            tick.load * 100.0
        ),
        false => String::new(),
    }
}
