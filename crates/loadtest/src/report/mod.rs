//! What is shown of a run afterwards: rows for a terminal or a script, pictures, and a page that needs nothing else.

mod chart;
mod html;
mod plot;
mod rows;
mod ticks;
mod verdict;

pub use chart::Chart;
pub use plot::PlotError;
pub use verdict::{Tone, Verdict};

use crate::assertion::Held;
use crate::measure::Histograms;
use crate::outcome::Outcome;

/// A run, as it is reported.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was found.
    pub outcome: &'a Outcome,
    /// All latencies.
    pub histograms: &'a Histograms,
    /// What was asserted, and whether it held.
    pub assertions: &'a [Held],
}

impl Report<'_> {
    /// Name and value of everything, in the order in which it is read; names are stable, and those of assertions where
    /// there is one. Neither holds a tab or a line break.
    pub fn rows(&self) -> Vec<(String, String)> {
        rows::rows(self)
    }

    /// A page with everything in it: no script, font or picture from elsewhere.
    ///
    /// # Errors
    /// [`PlotError`] where a plot cannot be drawn.
    pub fn html(&self) -> Result<String, PlotError> {
        html::page(self)
    }

    /// Whether it held, in words.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self)
    }

    /// The charts for which something was measured.
    pub fn charts(&self) -> impl Iterator<Item = Chart> {
        Chart::ALL
            .into_iter()
            .filter(|chart| chart.plot(self).is_some())
    }

    /// A chart as an SVG file; `None` if there is nothing to be shown.
    ///
    /// # Errors
    /// [`PlotError`].
    pub fn svg(&self, chart: Chart) -> Result<Option<String>, PlotError> {
        chart
            .plot(self)
            .map(|plot| plot::svg(&plot, plot::Ground::White))
            .transpose()
    }

    /// A chart as a PNG file; `None` if there is nothing to be shown.
    ///
    /// # Errors
    /// [`PlotError`].
    pub fn png(&self, chart: Chart) -> Result<Option<Vec<u8>>, PlotError> {
        chart.plot(self).map(|plot| plot::png(&plot)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Assertion;
    use crate::outcome::Second;
    use crate::outcome::tests::outcome;

    /// A report without assertions.
    fn report<'a>(outcome: &'a Outcome, histograms: &'a Histograms) -> Report<'a> {
        Report {
            outcome,
            histograms,
            assertions: &[],
        }
    }

    /// A page that is whole, and whose pictures are.
    fn page(report: &Report<'_>) -> String {
        let page = report.html().unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
        let mut rest = page.as_str();
        while let Some(begin) = rest.find("<svg ") {
            let end = rest.find("</svg>").unwrap() + "</svg>".len();
            roxmltree::Document::parse(&rest[begin..end]).unwrap();
            rest = &rest[end..];
        }
        let shown = page.replace("http://www.w3.org/2000/svg", "");
        for elsewhere in [
            "://", "src=", "href=", "url(", "@import", "<script", "<link",
        ] {
            assert!(!shown.contains(elsewhere), "{elsewhere}");
        }
        for nonsense in ["NaN", "inf", "-0.0", "None", "Some("] {
            assert!(!shown.contains(nonsense), "{nonsense}");
        }
        page
    }

    #[test]
    fn a_page_holds_everything_and_needs_nothing_else() {
        let (outcome, histograms) = outcome();
        let assertions: Vec<Held> = ["p99<50ms", "lost==0"]
            .map(|text| text.parse::<Assertion>().unwrap())
            .iter()
            .map(|assertion| assertion.check(&outcome, &histograms))
            .collect();
        let report = Report {
            outcome: &outcome,
            histograms: &histograms,
            assertions: &assertions,
        };
        let page = page(&report);
        for part in [
            "It did not hold",
            "Of 2 assertions, 1 does not hold.",
            "No message was lost.",
            "500 messages a second of 500 that were expected (100.0 %).",
            "2023-11-14 22:13:20 UTC",
            "p99&lt;50ms",
            "from when a message was due to its arrival at a subscriber",
            "Attempts that were served: CONNACK with success.",
            "closed by us",
            "publishers = 100",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(part), "{part}");
        }
        let ids = ["rates", "percentiles", "latency", "connected", "generator"];
        assert!(
            ids.iter()
                .all(|id| page.contains(&format!("<figure id=\"{id}\"")))
        );
        assert!(page.contains("There were no errors in any second."));
    }

    #[test]
    fn whatever_others_said_is_text() {
        let (mut outcome, histograms) = outcome();
        let evil = "</pre><script>alert('&')</script>\t\n\u{1b}[31m";
        outcome.endpoint = evil.to_owned();
        outcome.run = evil.to_owned();
        outcome.scenario.name = evil.to_owned();
        outcome.scenario.description = evil.to_owned();
        outcome.scenario.publish.payload = Some(evil.to_owned());
        outcome.endings = BTreeMap::from([(evil.to_owned(), 1)]);
        outcome.notes = vec![evil.to_owned()];
        outcome.generator.limited = vec![evil.to_owned()];
        outcome.ended_early = Some(evil.to_owned());
        let report = report(&outcome, &histograms);
        assert!(!page(&report).contains("<script"));
        for (name, value) in report.rows() {
            assert!(
                !format!("{name}{value}").contains(char::is_control),
                "{name}"
            );
        }
    }

    #[test]
    fn nothing_one_second_and_ten_thousand_are_all_reported() {
        let (whole, histograms) = outcome();
        let second = whole.timeline[0].clone();
        let nothing = Histograms::default();
        let mut empty = whole.clone();
        empty.timeline.clear();
        empty.latencies.clear();
        empty.counts = crate::Counts::default();
        empty.measured_seconds = 0.0;
        empty.observed = crate::Rates::default();
        let told = report(&empty, &nothing);
        assert_eq!(told.charts().count(), 0);
        assert!(page(&told).contains("nothing to be drawn"));

        let mut short = whole.clone();
        short.timeline.truncate(1);
        assert!(report(&short, &histograms).charts().count() >= 4);
        page(&report(&short, &histograms));

        let mut long = whole;
        long.timeline = (1..=10_000_u32)
            .map(|index| Second {
                at: f64::from(index),
                // Gaps, and one second that must not vanish.
                p99: (index % 7 != 0).then_some(5.0),
                counts: crate::Counts {
                    refused: u64::from(index == 5000) * 900,
                    ..second.counts
                },
                ..second.clone()
            })
            .collect();
        let told = report(&long, &histograms);
        assert!(page(&told).len() < 400_000);
        let errors = Chart::Errors.plot(&told).unwrap();
        let [line] = errors.lines.as_slice() else {
            panic!("{:?}", errors.lines);
        };
        assert!(line.pieces[0].iter().any(|(_, y)| *y == 900.0));
        assert!(line.pieces[0].len() <= 601);
        let rates = Chart::Rates.plot(&told).unwrap();
        assert!(
            rates.lines[0].pieces[0]
                .iter()
                .all(|(_, y)| (*y - 100.0).abs() < 1e-6)
        );
    }

    #[test]
    fn an_instant_is_no_rate() {
        let (mut outcome, histograms) = outcome();
        // Ticks where publishing begins and ends, in which something was counted.
        for (index, at) in [(3, 3.001), (11, 10.002)] {
            let counts = crate::Counts {
                published: 7,
                ..crate::Counts::default()
            };
            let second = Second {
                at,
                counts,
                ..Second::default()
            };
            outcome.timeline.insert(index, second);
        }
        let plot = Chart::Rates.plot(&report(&outcome, &histograms)).unwrap();
        let points = &plot.lines[0].pieces[0];
        assert_eq!(points.len(), 10);
        assert!(
            points.iter().all(|(_, rate)| (99.0..108.0).contains(rate)),
            "{points:?}"
        );
        assert_eq!(points.last().unwrap().0, 10.002);
    }

    #[test]
    fn a_run_that_ends_when_all_are_in_shows_that_they_were() {
        let (mut outcome, histograms) = outcome();
        outcome.timeline.truncate(2);
        outcome.timeline.push(Second {
            at: 2.2,
            connected: 102,
            ..Second::default()
        });
        outcome.timeline.push(Second {
            at: 2.3,
            connected: 0,
            ..Second::default()
        });
        outcome.timeline[1].connected = 40;
        outcome.measured_seconds = 0.0;
        let report = report(&outcome, &histograms);
        let plot = Chart::Connected.plot(&report).unwrap();
        assert_eq!(
            plot.lines[0].pieces[0],
            [(1.0, 102.0), (2.0, 40.0), (2.2, 102.0), (2.3, 0.0)]
        );
        // 1.2 s of CPU in 2.3 s.
        let rows = report.rows();
        assert!(rows.contains(&("generator.cores".to_owned(), "0.522".to_owned())));
    }

    #[test]
    fn a_curve_goes_as_far_as_there_are_values() {
        let (outcome, histograms) = outcome();
        let plot = Chart::Percentiles
            .plot(&report(&outcome, &histograms))
            .unwrap();
        let delivery = &plot.lines[0];
        assert_eq!(delivery.name, "delivery");
        let points = &delivery.pieces[0];
        assert_eq!(points[0], (0.0, 1.0));
        assert_eq!(*points.last().unwrap(), (3.0, 1000.447));
        assert!(points.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    }

    #[test]
    fn pictures_can_be_read_by_others() {
        let (outcome, histograms) = outcome();
        let report = report(&outcome, &histograms);
        for chart in report.charts() {
            let svg = report.svg(chart).unwrap().unwrap();
            let document = roxmltree::Document::parse(&svg).unwrap();
            let text: String = document
                .descendants()
                .filter_map(|node| node.text())
                .collect();
            assert!(text.contains(chart.title()), "{text}");
            let png = report.png(chart).unwrap().unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(&png))
                .read_info()
                .unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            // Text and lines: neither all white nor all dark.
            let white = pixels.iter().filter(|&&value| value == 255).count();
            assert!(
                (pixels.len() / 2..pixels.len() * 99 / 100).contains(&white),
                "{chart:?}"
            );
        }
        assert_eq!(report.svg(Chart::Errors).unwrap(), None);
    }

    #[test]
    fn rows_have_the_names_of_assertions_in_a_stable_order() {
        let (outcome, histograms) = outcome();
        let report = report(&outcome, &histograms);
        let rows = report.rows();
        let at = |name: &str| rows.iter().position(|(known, _)| known == name).unwrap();
        assert_eq!(rows[0], ("verdict".to_owned(), "held".to_owned()));
        let order = [
            "expected",
            "rate",
            "lost",
            "duplicated",
            "attempts",
            "delivery.p50",
            "delivery.p99.9",
            "ending.closed by us",
            "generator.cores",
        ];
        assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
        assert_eq!(rows[at("rate")].1, "500");
        assert_eq!(rows[at("delivery.p99")].1, "990.207");
        // What a row says can be asserted by its name.
        for name in [
            "rate",
            "lost",
            "published",
            "delivery.count",
            "generatorLimited",
        ] {
            let text = format!("{name}=={}", rows[at(name)].1);
            let held = text
                .parse::<Assertion>()
                .unwrap()
                .check(&outcome, &histograms);
            assert!(held.held, "{held:?}");
        }
    }

    #[test]
    fn the_edges_of_a_short_time_are_not_held_against_a_system() {
        let (mut outcome, histograms) = outcome();
        // Of 10 seconds, 2 % are what the edges are.
        for (published, tone) in [(490.0, Tone::Good), (489.0, Tone::Doubtful)] {
            outcome.observed.delivered = published - 300.0;
            assert_eq!(report(&outcome, &histograms).verdict().tone, tone);
        }
        outcome.measured_seconds = 60.0;
        outcome.observed.delivered = 190.0;
        assert_eq!(report(&outcome, &histograms).verdict().tone, Tone::Doubtful);
    }

    type Change = fn(&mut Outcome);

    #[test]
    fn a_verdict_names_what_was_wrong_the_worst_first() {
        let changes: [(Change, Tone, &str, &str); 8] = [
            (|_| (), Tone::Good, "It held", "All 102 devices got in."),
            (
                |o| o.lost = Some(1),
                Tone::Bad,
                "It did not hold",
                "1 copy did not arrive at a subscriber.",
            ),
            (
                |o| o.counts.failed_devices = 3,
                Tone::Bad,
                "It did not hold",
                "3 devices of 102 gave up.",
            ),
            (
                |o| o.counts.misrouted = 2,
                Tone::Bad,
                "It did not hold",
                "2 messages arrived where they do not belong.",
            ),
            (
                |o| o.queue_lost = Some(2),
                Tone::Bad,
                "It did not hold",
                "2 messages did not arrive in the queue.",
            ),
            (
                |o| o.observed.delivered = 150.0,
                Tone::Doubtful,
                "It held only in part",
                "450 messages a second of 500 that were expected (90.0 %).",
            ),
            (
                |o| o.generator.limited.push("2 % were late".to_owned()),
                Tone::Doubtful,
                "The generator was the limit",
                "not only those of the system: 2 % were late.",
            ),
            (
                |o| o.ended_early = Some("interrupted".to_owned()),
                Tone::Doubtful,
                "It held only in part",
                "It ended before its time: interrupted.",
            ),
        ];
        for (change, tone, headline, sentence) in changes {
            let (mut outcome, histograms) = outcome();
            change(&mut outcome);
            let verdict = report(&outcome, &histograms).verdict();
            assert_eq!((verdict.tone, verdict.headline.as_str()), (tone, headline));
            assert!(verdict.sentences[0].contains(sentence), "{verdict:?}");
        }
    }
}
