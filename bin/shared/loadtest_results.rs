//! Where the results of a load test go: rows on stdout, and a folder with everything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use jitp_cli::{Common, Failure, OutputFormat, Report, Result};
use jitp_core::failure::Class;
use jitp_core::store::write_file;
use jitp_loadtest::{
    HdrLog, Held, LATENCIES, Outcome, PlotError, RESULT, Report as Reported, Tick,
};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

/// Where the results go.
pub(super) struct Results {
    folder: PathBuf,
    log: Option<HdrLog>,
    /// What could not be written down while it ran.
    failed: Option<Failure>,
    pictures: Pictures,
}

/// Which files of plots are wanted.
#[derive(Args, Clone, Copy)]
pub(super) struct Pictures {
    /// Draw the plots as SVG files, too
    #[arg(long)]
    svg: bool,

    /// Draw the plots as PNG files, too
    #[arg(long)]
    png: bool,
}

/// The whole answer in JSON.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    assertions: &'a [Held],
    folder: String,
}

impl Report for Whole<'_> {
    fn columns(&self) -> Vec<String> {
        Vec::new()
    }
}

#[derive(Serialize)]
struct Row {
    name: String,
    value: String,
}

impl Report for Row {
    fn columns(&self) -> Vec<String> {
        vec![self.name.clone(), self.value.clone()]
    }
}

impl Results {
    /// Makes the folder; it must be new, or empty.
    ///
    /// # Errors
    /// When it cannot be made or has something in it.
    pub(super) fn prepare(folder: Option<PathBuf>, pictures: Pictures) -> Result<Self> {
        let folder = folder.unwrap_or_else(|| PathBuf::from(format!("loadtest-{}", now())));
        new_folder(&folder)?;
        Ok(Self {
            folder,
            log: None,
            failed: None,
            pictures,
        })
    }

    /// A file of the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes down the latencies of a second.
    pub(super) fn tick(&mut self, tick: &Tick<'_>) {
        if self.failed.is_some() {
            return;
        }
        if let Err(failure) = self.log_second(tick) {
            self.failed = Some(failure);
        }
    }

    fn log_second(&mut self, tick: &Tick<'_>) -> Result<()> {
        let log = match &mut self.log {
            Some(log) => log,
            None => self.log.insert(HdrLog::create(
                &self.folder.join(LATENCIES),
                tick.started_at,
            )?),
        };
        let start = tick.second.at - tick.length;
        log.interval(start.max(0.0), tick.length, tick.latencies)?;
        Ok(())
    }

    /// Writes the results, and answers.
    ///
    /// # Errors
    /// When something cannot be written.
    pub(super) fn publish(mut self, report: &Reported<'_>, common: &Common) -> Result<()> {
        // Files first, so that whoever reads the answer finds them; the answer in any case.
        let written = self.failed.take().map_or(Ok(()), Err);
        let written = written.and_then(|()| self.write_files(report));
        let mut reporter = common.reporter();
        match common.output {
            OutputFormat::Json => reporter.line(&Whole {
                outcome: report.outcome,
                assertions: report.assertions,
                folder: self.folder.display().to_string(),
            })?,
            OutputFormat::Text => {
                for (name, value) in report.rows() {
                    reporter.line(&Row { name, value })?;
                }
            }
        }
        written?;
        let page = self.folder.join(PAGE);
        common.say(format!(
            "{}; see {}",
            report.verdict().headline,
            page.display()
        ));
        Ok(())
    }

    fn write_files(&self, report: &Reported<'_>) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| -> Result<()> {
            let path = self.folder.join(name);
            Ok(write_file(&path, bytes)?)
        };
        let drawn = |error: PlotError| {
            Failure::new(
                Class::Unexpected,
                format!("a plot cannot be drawn: {error}"),
            )
        };
        let json = serde_json::to_vec_pretty(report.outcome).map_err(|error| {
            Failure::new(Class::Unexpected, format!("the result is no JSON: {error}"))
        })?;
        write(RESULT, &json)?;
        write(PAGE, report.html().map_err(drawn)?.as_bytes())?;
        for chart in report.charts() {
            if self.pictures.svg
                && let Some(svg) = report.svg(chart).map_err(drawn)?
            {
                write(&format!("{}.svg", chart.name()), svg.as_bytes())?;
            }
            if self.pictures.png
                && let Some(png) = report.png(chart).map_err(drawn)?
            {
                write(&format!("{}.png", chart.name()), &png)?;
            }
        }
        Ok(())
    }
}

/// The page that a person opens.
const PAGE: &str = "report.html";

/// Makes a folder that must be new, or empty.
///
/// # Errors
/// When it cannot be made or has something in it.
fn new_folder(folder: &Path) -> Result<()> {
    let failed = |error: &io::Error| {
        Failure::io(
            &format!("cannot make the folder {}", folder.display()),
            error,
        )
    };
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let mut entries = fs::read_dir(folder).map_err(|error| failed(&error))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            Class::Conflict,
            format!("{} has something in it already", folder.display()),
        )
        .hint("results are never overwritten: give another --out")),
    }
}

fn now() -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    OffsetDateTime::now_utc()
        .format(&format)
        .unwrap_or_else(|_| "now".to_owned())
}
