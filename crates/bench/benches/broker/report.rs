//! The table: every round's figures as they come, at the end medians, ratios and whether the targets are met.

/// A measurement.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    unit: &'static str,
    /// How many times less than mosquitto's ours has to be.
    target: Option<f64>,
}

impl Row {
    pub(crate) const fn new(name: &'static str, unit: &'static str, target: Option<f64>) -> Self {
        Self { name, unit, target }
    }
}

/// Cost and rate in every round.
type Figures = Vec<(f64, Option<f64>)>;

/// The figures of all rounds.
pub(crate) struct Table {
    rows: &'static [Row],
    /// What the two sides are called: whom we are compared with, and us.
    names: [&'static str; 2],
    /// For each row, theirs and ours.
    figures: Vec<[Figures; 2]>,
}

impl Table {
    pub(crate) fn new(rows: &'static [Row], names: [&'static str; 2]) -> Self {
        Self {
            rows,
            names,
            figures: rows.iter().map(|_| Default::default()).collect(),
        }
    }

    pub(crate) fn add(&mut self, row: usize, side: usize, cost: f64, rate: Option<f64>) {
        self.figures[row][side].push((cost, rate));
    }

    /// Prints the figures of the round that has just been measured.
    pub(crate) fn print_last(&self, row: usize) {
        if let [Some(theirs), Some(ours)] = self.figures[row].each_ref().map(|all| all.last()) {
            let Row { name, unit, .. } = self.rows[row];
            let [their_name, our_name] = self.names;
            println!(
                "{name:36} {unit:6}  {their_name} {:8.2}{:12}  {our_name} {:8.2}{:12}  {:5.2} : 1",
                theirs.0,
                rate(theirs.1),
                ours.0,
                rate(ours.1),
                theirs.0 / ours.0
            );
        }
    }

    /// Prints medians, ratios and targets.
    pub(crate) fn print(&self) {
        let [their_name, our_name] = self.names;
        println!(
            "\n| median | {their_name} | {our_name} | {their_name} : {our_name} | in the rounds | target | |"
        );
        println!("|---|---|---|---|---|---|---|");
        for (row, [theirs, ours]) in self.rows.iter().zip(&self.figures) {
            if theirs.is_empty() || ours.is_empty() {
                continue;
            }
            let cost = |all: &Figures| median(all.iter().map(|(cost, _)| *cost));
            let pace = |all: &Figures| {
                let rates: Vec<f64> = all.iter().filter_map(|(_, rate)| *rate).collect();
                rate((!rates.is_empty()).then(|| median(rates.into_iter())))
            };
            let mut ratios: Vec<f64> = theirs
                .iter()
                .zip(ours)
                .map(|((theirs, _), (ours, _))| theirs / ours)
                .collect();
            ratios.sort_by(f64::total_cmp);
            let ratio = cost(theirs) / cost(ours);
            let (target, verdict) = match row.target {
                None => (String::new(), ""),
                Some(target) if ratio >= target => (format!("{target}"), "met"),
                Some(target) => (format!("{target}"), "NOT MET"),
            };
            println!(
                "| {}, {} | {:.2}{} | {:.2}{} | {ratio:.2} | {:.2} to {:.2} | {target} | {verdict} |",
                row.name,
                row.unit,
                cost(theirs),
                pace(theirs),
                cost(ours),
                pace(ours),
                ratios[0],
                ratios[ratios.len() - 1]
            );
        }
    }
}

fn rate(rate: Option<f64>) -> String {
    rate.map(|rate| format!(" ({rate:.0}/s)"))
        .unwrap_or_default()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[middle - 1] + values[middle]) / 2.0
    } else {
        values[middle]
    }
}
