//! Cost and quality as a picture: what routing reaches, and every model alone.

use std::fmt::Write as _;

/// One suite.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    /// Every model alone: its cost a question in US dollars, and its mean score.
    pub(super) models: Vec<(String, (f64, f64))>,
    /// What routing reaches.
    pub(super) curve: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
/// Of a panel: left, right, top, bottom.
const MARGINS: (f64, f64, f64, f64) = (60.0, 20.0, 40.0, 46.0);

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#333}\
.t{font-size:15px;font-weight:600}.g{stroke:#ddd}.c{fill:none;stroke:#0a6ed1;stroke-width:2}\
.m{fill:#888}.b{fill:#c0392b}\
@media (prefers-color-scheme:dark){svg{background:#16181d}text{fill:#ddd}.g{stroke:#333}\
.c{stroke:#5aa9f5}.m{fill:#999}.b{fill:#ff7b6b}}";

/// All panels, one under the other.
pub(super) fn svg(panels: &[Panel]) -> String {
    let height = (0..panels.len()).fold(0.0, |height, _| height + HEIGHT);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Quality over cost, routed and for each model alone\"><style>{STYLE}</style>\n"
    );
    let mut top = 0.0;
    for panel in panels {
        let _ = writeln!(out, "<g transform=\"translate(0 {top})\">");
        draw(&mut out, panel);
        out.push_str("</g>\n");
        top += HEIGHT;
    }
    out.push_str("</svg>\n");
    out
}

/// Where a cost and a score stand.
struct Scale {
    cost: (f64, f64),
    score: (f64, f64),
}

impl Scale {
    fn of(panel: &Panel) -> Self {
        let all = || {
            let models = panel.models.iter().map(|(_, point)| *point);
            models.chain(panel.curve.iter().copied())
        };
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let cost = least(&mut all().map(|p| p.0).filter(|cost| *cost > 0.0));
        let score = least(&mut all().map(|p| p.1));
        Self {
            cost: (cost.ln(), most(&mut all().map(|p| p.0)).ln()),
            score: (score - 0.02, most(&mut all().map(|p| p.1)) + 0.02),
        }
    }

    fn at(&self, (cost, score): (f64, f64)) -> (f64, f64) {
        let (left, right, top, bottom) = MARGINS;
        let part = |value: f64, (from, to): (f64, f64)| (value - from) / (to - from).max(1e-9);
        let x = left + part(cost.max(1e-12).ln(), self.cost) * (WIDTH - left - right);
        let y = HEIGHT - bottom - part(score, self.score) * (HEIGHT - top - bottom);
        (x, y)
    }
}

fn draw(out: &mut String, panel: &Panel) {
    let scale = Scale::of(panel);
    let (left, right, top, bottom) = MARGINS;
    let (floor, edge) = (HEIGHT - bottom, WIDTH - right);
    let _ = writeln!(
        out,
        "<text class=\"t\" x=\"{left}\" y=\"24\">{}</text>",
        plain(&panel.title)
    );
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let score = scale.score.0 + part * (scale.score.1 - scale.score.0);
        let y = floor - part * (floor - top);
        let _ = writeln!(
            out,
            "<line class=\"g\" x1=\"{left}\" x2=\"{edge}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            left - 6.0,
            y + 4.0,
            score * 100.0
        );
        let cost = (scale.cost.0 + part * (scale.cost.1 - scale.cost.0)).exp() * 1_000.0;
        let x = left + part * (edge - left);
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{cost:.2}</text>",
            floor + 18.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">US dollars for 1,000 questions</text>",
        f64::midpoint(left, edge),
        floor + 36.0
    );
    let mut curve = panel.curve.clone();
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    let points = curve.iter().map(|point| {
        let (x, y) = scale.at(*point);
        format!("{x:.1},{y:.1}")
    });
    let points = points.collect::<Vec<_>>().join(" ");
    let _ = writeln!(out, "<polyline class=\"c\" points=\"{points}\"/>");
    // of equally good ones the cheapest is named
    let better = |a: &(f64, f64), b: &(f64, f64)| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0));
    let best = panel.models.iter().max_by(|a, b| better(&a.1, &b.1));
    for model in &panel.models {
        let (x, y) = scale.at(model.1);
        let is_best = best.is_some_and(|best| best.0 == model.0);
        let class = if is_best { "b" } else { "m" };
        let name = plain(&model.0);
        let _ = writeln!(
            out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"><title>{name}</title></circle>"
        );
        if is_best {
            let above = y - 9.0;
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{above:.1}\" text-anchor=\"end\">{name}</text>"
            );
        }
    }
}

/// Without signs that mean something in XML.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
