//! Draws a plot, as SVG or as PNG.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ticks::Axis;

/// Lines over two axes.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// What it shows.
    pub(super) title: &'static str,
    /// Horizontal axis.
    pub(super) x: Axis,
    /// Vertical axis.
    pub(super) y: Axis,
    /// What is measured on the vertical axis.
    pub(super) unit: &'static str,
    /// The measured time, of what is otherwise a warm-up and its end.
    pub(super) shade: Option<(f64, f64)>,
    /// The lines, the most important one first.
    pub(super) lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What it is, in the legend.
    pub(super) name: String,
    /// Its colour.
    pub(super) colour: Colour,
    /// What it is like.
    pub(super) style: Style,
    /// Its points, in pieces between which nothing was measured.
    pub(super) pieces: Vec<Vec<(f64, f64)>>,
}

/// What a line is like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    /// A line.
    Solid,
    /// What was asked for, beside what was found.
    Dashed,
    /// A line over a surface.
    Filled,
    /// A broad one, which is seen below another one that it follows.
    Broad,
}

/// Colours of lines, which the page's style sheet knows by their value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Colour {
    Blue,
    Orange,
    Green,
    Purple,
    Red,
    Grey,
}

impl Colour {
    pub(super) const ALL: [Self; 6] = [
        Self::Blue,
        Self::Orange,
        Self::Green,
        Self::Purple,
        Self::Red,
        Self::Grey,
    ];

    fn rgb(self) -> RGBColor {
        match self {
            Self::Blue => RGBColor(0x1F, 0x6F, 0xEB),
            Self::Orange => RGBColor(0xD9, 0x73, 0x0D),
            Self::Green => RGBColor(0x1A, 0x7F, 0x37),
            Self::Purple => RGBColor(0x82, 0x50, 0xDF),
            Self::Red => RGBColor(0xCF, 0x22, 0x2E),
            Self::Grey => RGBColor(0x6E, 0x77, 0x81),
        }
    }
}

/// What lies behind a plot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ground {
    /// The page, whatever its colour is; its heading is the title.
    Page,
    /// White.
    White,
}

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {plot}: {why}")]
pub struct PlotError {
    plot: &'static str,
    why: String,
}

/// A plot as SVG.
pub(super) fn svg(plot: &Plot, ground: Ground) -> Result<String, PlotError> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    draw(plot, ground, &area)?;
    drop(area);
    // Escaped for the sake of whoever changes a title.
    let title = plot.title.replace('&', "&amp;").replace('<', "&lt;");
    let title = title.replace('"', "&quot;");
    Ok(text.replacen(
        "<svg ",
        &format!("<svg role=\"img\" aria-label=\"{title}\" "),
        1,
    ))
}

/// A plot as PNG.
pub(super) fn png(plot: &Plot) -> Result<Vec<u8>, PlotError> {
    let (width, height) = SIZE;
    let mut pixels = vec![0; width as usize * height as usize * 3];
    let area = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
    draw(plot, Ground::White, &area)?;
    drop(area);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels))
        .map_err(|error| PlotError {
            plot: plot.title,
            why: error.to_string(),
        })?;
    Ok(file)
}

fn draw<B: DrawingBackend>(
    plot: &Plot,
    ground: Ground,
    area: &DrawingArea<B, Shift>,
) -> Result<(), PlotError> {
    static FONT: OnceLock<()> = OnceLock::new();
    FONT.get_or_init(|| {
        let font = dejavu::sans::regular();
        // DejaVu Sans is a font, whatever its version.
        let _ = plotters::style::register_font(FAMILY, FontStyle::Normal, font);
    });
    let drawing = Drawing { plot, ground, area };
    drawing.draw().map_err(|error| PlotError {
        plot: plot.title,
        why: error.to_string(),
    })
}

struct Drawing<'a, B: DrawingBackend> {
    plot: &'a Plot,
    ground: Ground,
    area: &'a DrawingArea<B, Shift>,
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

impl<B: DrawingBackend> Drawing<'_, B> {
    fn draw(&self) -> Drawn<B> {
        if self.ground == Ground::White {
            self.area.fill(&WHITE)?;
            self.text(self.plot.title, (LEFT, 20), 36, INK, HPos::Left, VPos::Top)?;
        }
        self.shade()?;
        self.axes()?;
        self.legend()?;
        // The first one last, so that it lies above.
        for line in self.plot.lines.iter().rev() {
            self.line(line)?;
        }
        self.area.present()
    }

    fn top(&self) -> i32 {
        match self.ground {
            Ground::White => 134,
            Ground::Page => 70,
        }
    }

    fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - self.top() - BOTTOM);
        let along = |share: f64, length: i32| (share * f64::from(length)).round() as i32;
        (
            LEFT + along(self.plot.x.place(x), width),
            HEIGHT - BOTTOM - along(self.plot.y.place(y), height),
        )
    }

    fn shade(&self) -> Drawn<B> {
        let Some((from, to)) = self.plot.shade else {
            return Ok(());
        };
        let (left, _) = self.at(from, 0.0);
        let (right, _) = self.at(to, 0.0);
        let corners = [(left, self.top()), (right, HEIGHT - BOTTOM)];
        self.area
            .draw(&Rectangle::new(corners, SHADE.mix(0.5).filled()))
    }

    fn axes(&self) -> Drawn<B> {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for (value, label) in self.plot.y.ticks() {
            let (_, y) = self.at(0.0, value);
            let line = PathElement::new([(LEFT, y), (right, y)], GRID.stroke_width(2));
            self.area.draw(&line)?;
            self.text(
                &label,
                (LEFT - 14, y),
                TICK,
                FAINT,
                HPos::Right,
                VPos::Center,
            )?;
        }
        let mut free = 0;
        for (value, label) in self.plot.x.ticks() {
            let (x, _) = self.at(value, 0.0);
            let line = PathElement::new([(x, bottom), (x, bottom + 8)], FAINT.stroke_width(2));
            self.area.draw(&line)?;
            // What would run into its neighbour is left out.
            let half = self.width(&label, TICK)? / 2;
            if x - half >= free {
                self.text(
                    &label,
                    (x, bottom + 16),
                    TICK,
                    FAINT,
                    HPos::Center,
                    VPos::Top,
                )?;
                free = x + half + 20;
            }
        }
        let line = PathElement::new([(LEFT, bottom), (right, bottom)], FAINT.stroke_width(2));
        self.area.draw(&line)
    }

    fn legend(&self) -> Drawn<B> {
        let y = self.top() - 38;
        let mut x = LEFT;
        for line in &self.plot.lines {
            self.stroke(&[(x, y), (x + 44, y)], line)?;
            x += 56;
            self.text(&line.name, (x, y), NAME, INK, HPos::Left, VPos::Center)?;
            x += self.width(&line.name, NAME)? + 40;
        }
        let unit = (WIDTH - RIGHT, y);
        self.text(self.plot.unit, unit, TICK, FAINT, HPos::Right, VPos::Center)
    }

    fn line(&self, line: &Line) -> Drawn<B> {
        let (_, bottom) = self.at(0.0, f64::MIN);
        for piece in &line.pieces {
            let points: Vec<_> = piece.iter().map(|&(x, y)| self.at(x, y)).collect();
            let &[first, .., last] = points.as_slice() else {
                // A line of one point is none.
                for &point in &points {
                    let dot = Circle::new(point, 6, line.colour.rgb().filled());
                    self.area.draw(&dot)?;
                }
                continue;
            };
            if line.style == Style::Filled {
                let mut surface = vec![(first.0, bottom)];
                surface.extend(&points);
                surface.push((last.0, bottom));
                let fill = line.colour.rgb().mix(0.12);
                self.area.draw(&Polygon::new(surface, fill.filled()))?;
            }
            self.stroke(&points, line)?;
        }
        Ok(())
    }

    fn stroke(&self, points: &[(i32, i32)], line: &Line) -> Drawn<B> {
        let style = line.colour.rgb().stroke_width(4);
        match line.style {
            Style::Dashed => {
                let dashed = DashedPathElement::new(points.iter().copied(), 12, 10, style);
                self.area.draw(&dashed)
            }
            Style::Solid | Style::Filled => {
                self.area.draw(&PathElement::new(points.to_vec(), style))
            }
            Style::Broad => {
                let style = line.colour.rgb().mix(0.5).stroke_width(12);
                self.area.draw(&PathElement::new(points.to_vec(), style))
            }
        }
    }

    fn text(
        &self,
        text: &str,
        at: (i32, i32),
        size: u32,
        colour: RGBColor,
        h: HPos,
        v: VPos,
    ) -> Drawn<B> {
        let style = (FAMILY, size)
            .into_font()
            .color(&colour)
            .pos(Pos::new(h, v));
        self.area.draw(&Text::new(text, at, style))
    }

    fn width(&self, text: &str, size: u32) -> Result<i32, DrawingAreaErrorKind<B::ErrorType>> {
        let style = (FAMILY, size).into_font().color(&INK);
        let (width, _) = self.area.estimate_text_size(text, &style)?;
        Ok(i32::try_from(width).unwrap_or(i32::MAX))
    }
}

/// What the font is registered as; a page says itself what this means.
const FAMILY: &str = "sans-serif";
const WIDTH: i32 = 1560;
const HEIGHT: i32 = 600;
const SIZE: (u32, u32) = (WIDTH as u32, HEIGHT as u32);
const LEFT: i32 = 120;
const RIGHT: i32 = 44;
const BOTTOM: i32 = 70;
/// Sizes of text: at the axes, in the legend.
const TICK: u32 = 27;
const NAME: u32 = 29;
/// Of text, of axes, of what lies behind; the page's style sheet knows them by their values.
const INK: RGBColor = RGBColor(0x1F, 0x23, 0x28);
const FAINT: RGBColor = RGBColor(0x65, 0x6D, 0x76);
const GRID: RGBColor = RGBColor(0xD8, 0xDE, 0xE4);
const SHADE: RGBColor = RGBColor(0xDD, 0xF4, 0xFF);

/// Every colour as it stands in SVG, with the name it has in the page's style sheet.
pub(super) fn colours() -> Vec<(String, &'static str)> {
    let lines = Colour::ALL.map(|colour| {
        let name = match colour {
            Colour::Blue => "blue",
            Colour::Orange => "orange",
            Colour::Green => "green",
            Colour::Purple => "purple",
            Colour::Red => "red",
            Colour::Grey => "grey",
        };
        (colour.rgb(), name)
    });
    let rest = [
        (INK, "ink"),
        (FAINT, "faint"),
        (GRID, "grid"),
        (SHADE, "shade"),
    ];
    lines
        .into_iter()
        .chain(rest)
        .map(|(RGBColor(r, g, b), name)| (format!("#{r:02X}{g:02X}{b:02X}"), name))
        .collect()
}
