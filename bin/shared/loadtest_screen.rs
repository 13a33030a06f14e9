//! What is seen while a load test runs: lines that are written anew on a terminal, a line now and then elsewhere, and
//! numbers for Prometheus.

use std::net::SocketAddr;

use jitp_cli::{Common, Failure, Panel, Result};
use jitp_loadtest::{Metrics, Scenario, Snapshot, Tick};

/// What is seen while a load test runs.
pub(super) struct Progress {
    panel: Option<Panel>,
    common: Common,
    snapshot: Snapshot,
    metrics: Option<Metrics>,
    ticks: u64,
}

/// Without a terminal there is a line after so many seconds.
const EVERY: u64 = 10;

impl Progress {
    /// Begins to show it.
    ///
    /// # Errors
    /// When the address for Prometheus cannot be listened on.
    pub(super) async fn show(
        run: &str,
        scenario: &Scenario,
        metrics: Option<SocketAddr>,
        common: &Common,
    ) -> Result<Self> {
        let snapshot = Snapshot::new(run, scenario);
        let metrics = match metrics {
            None => None,
            Some(address) => {
                let metrics = Metrics::serve(address, snapshot.clone())
                    .await
                    .map_err(|error| Failure::io(&format!("cannot listen on {address}"), &error))?;
                common.say(format!("metrics: http://{}/metrics", metrics.address()));
                Some(metrics)
            }
        };
        Ok(Self {
            panel: Panel::show(!common.quiet),
            common: common.clone(),
            snapshot,
            metrics,
            ticks: 0,
        })
    }

    /// Shows a second.
    pub(super) fn tick(&mut self, tick: &Tick<'_>) {
        let entered = tick.phase != self.snapshot.phase;
        self.snapshot.update(tick);
        if let Some(metrics) = &self.metrics {
            metrics.show(&self.snapshot);
        }
        if let Some(panel) = &self.panel {
            panel.set(self.lines(tick));
        } else if entered || self.ticks.is_multiple_of(EVERY) {
            self.common.say(self.line() + &trouble(tick));
        }
        self.ticks += 1;
    }

    fn line(&self) -> String {
        let now = &self.snapshot;
        let latency = match now.last {
            Some([p50, p99, _]) => format!(", {} p50 {p50:.1} ms, p99 {p99:.1} ms", now.main),
            None => String::new(),
        };
        format!(
            "{:.0} s: {}, {} of {} connected, {:.0} published/s, {:.0} delivered/s, {:.0} forwarded/s{latency}{}",
            now.elapsed,
            now.phase,
            now.connected,
            now.devices,
            now.rates.published,
            now.rates.delivered,
            now.rates.forwarded,
            self.warning()
        )
    }

    fn lines(&self, tick: &Tick<'_>) -> String {
        let (now, counts, second) = (&self.snapshot, &self.snapshot.counts, &tick.second.counts);
        let latency = match now.last {
            Some([p50, p99, max]) => {
                format!("p50 {p50:.1} ms   p99 {p99:.1} ms   max {max:.1} ms")
            }
            None => "-".to_owned(),
        };
        let lines = [
            format!(
                "{}: {} since {:.0} s   connected {} of {} ({}/s)   provisioned {}   failed attempts {}   lost connections {}",
                now.scenario,
                now.phase,
                now.elapsed,
                now.connected,
                now.devices,
                second.connects,
                counts.provisioning_closes,
                counts.failed_attempts,
                counts.disconnects
            ),
            format!(
                "published {:.0}/s   delivered {:.0}/s   forwarded {:.0}/s   acknowledged {}/s",
                now.rates.published, now.rates.delivered, now.rates.forwarded, second.acknowledged
            ),
            format!("{}: {latency}", now.main),
            format!(
                "duplicated {}   reordered {}   misrouted {}   late {}   generator {:.0} % of its time{}",
                counts.duplicated,
                counts.reordered,
                counts.misrouted,
                counts.late,
                now.load * 100.0,
                self.warning()
            ),
        ];
        lines.join("\n") + &trouble(tick)
    }

    fn warning(&self) -> String {
        match self.snapshot.limited.first() {
            Some(why) => format!("; warning: the generator is the limit: {why}"),
            None => String::new(),
        }
    }
}

/// What most attempts and connections ended by that did not end as they should.
fn trouble(tick: &Tick<'_>) -> String {
    match tick.endings.iter().max_by_key(|(_, count)| **count) {
        Some((ending, count)) => format!("; {count} times: {ending}"),
        None => String::new(),
    }
}
