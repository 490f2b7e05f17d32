//! The table of the demo, and what to do next.

use std::{
    io::{self, Write},
    sync::Arc,
};

use jiff::Timestamp;

use super::{requests::DemoRequest, send::DemoAnswer};
use crate::{
    caps::Cap,
    catalog::Adapter,
    cli::table::Table,
    config::Config,
    money::Usd,
    route::cost,
    serve::Gateway,
    understand::{self, Endpoint},
    wire::usage,
};

/// The model that everything is compared with.
const BASELINE: &str = "openai/gpt-5.4";

/// What was shown so far.
#[derive(Debug)]
pub(super) struct Report {
    config: Arc<Config>,
    table: Table,
    answered: u32,
    refused: u32,
    spent: Usd,
    baseline: Usd,
}

impl Report {
    pub(super) fn new(config: &Arc<Config>) -> Self {
        let head = [
            "ASKED",
            "NEEDS",
            "SERVED BY",
            "WHY",
            "TOKENS",
            "COST $",
            "BASELINE $",
        ];
        Self {
            config: Arc::clone(config),
            table: Table::new(&head),
            answered: 0,
            refused: 0,
            spent: Usd::ZERO,
            baseline: Usd::ZERO,
        }
    }

    /// Adds a request and its answer.
    pub(super) fn add(&mut self, request: &DemoRequest, answer: &DemoAnswer) {
        let model = request.body["model"].as_str().unwrap_or_default();
        let asked = format!("{} ({model})", request.title);
        let header = |name: &str| {
            answer
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        if !answer.status.is_success() {
            self.refused += 1;
            let message = answer.body["error"]["message"].as_str().unwrap_or_default();
            let why = message.split(';').next().unwrap_or_default();
            let served = format!("nobody ({})", answer.status.as_u16());
            self.table
                .row(vec![asked, needs(request), served, why.to_owned()]);
            return;
        }
        self.answered += 1;
        let usage = &answer.body["usage"];
        let reading = usage::read(Adapter::OpenAi, &usage.to_string());
        let in_stream = usage["cost_usd"].as_str();
        let cost: Option<Usd> = header("x-tollgate-cost-usd")
            .or(in_stream)
            .and_then(|cost| cost.parse().ok());
        let baseline = self.baseline(&reading.usage);
        self.spent = self.spent.saturating_add(cost.unwrap_or_default());
        self.baseline = self.baseline.saturating_add(baseline.unwrap_or_default());
        let why = header("x-tollgate-decision").unwrap_or_default().to_owned();
        let tokens = format!(
            "{}+{}",
            reading.usage.prompt_total(),
            reading.usage.output_total()
        );
        let text = |cost: Option<Usd>| cost.map_or("unpriced".to_owned(), |cost| cost.to_string());
        let backend = header("x-tollgate-backend").unwrap_or_default().to_owned();
        self.table.row(vec![
            asked,
            needs(request),
            backend,
            why,
            tokens,
            text(cost),
            text(baseline),
        ]);
    }

    /// What the baseline would have cost for the same tokens.
    fn baseline(&self, usage: &crate::usage::Usage) -> Option<Usd> {
        let backend = self
            .config
            .backends
            .iter()
            .find(|backend| &*backend.name == BASELINE)?;
        let asked = cost::asked_at(Timestamp::now(), cost::STANDARD, false);
        cost::of(&self.config, backend, usage, &asked)
    }

    /// Writes the table and the totals.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "Simulated providers, real gateway, prices of the catalogue.\n"
        )?;
        self.table.write(out)?;
        writeln!(
            out,
            "\nTotal: {} requests answered, {} refused; cost ${}, the baseline ({BASELINE}) ${}{}.",
            self.answered,
            self.refused,
            self.spent,
            self.baseline,
            saved(self.spent, self.baseline)
        )
    }
}

/// What was saved, in whole per cent.
fn saved(spent: Usd, baseline: Usd) -> String {
    let difference = i128::from(baseline.saturating_sub(spent).pico()) * 100;
    match difference.checked_div(i128::from(baseline.pico())) {
        Some(percent) => format!(": {percent} % saved"),
        None => String::new(),
    }
}

/// What the request needs, as the gateway understands it.
fn needs(request: &DemoRequest) -> String {
    let body = request.body.to_string().into();
    let ask = understand::read(Endpoint::ChatCompletions, body, &http::HeaderMap::new());
    let Ok(ask) = ask else { return String::new() };
    let caps: Vec<&str> = ask.needs.caps.iter().map(Cap::as_str).collect();
    let caps = if caps.is_empty() {
        "text".to_owned()
    } else {
        caps.join(" ")
    };
    format!("{caps}, ~{} tokens", ask.needs.prompt_tokens)
}

/// Lines to paste, and where to look.
pub(super) fn invite(out: &mut dyn Write, gateway: &Gateway) -> io::Result<()> {
    let (client, admin) = (gateway.client_address, gateway.admin_address);
    write!(
        out,
        r#"
Serving on http://{client}/v1 until you press Ctrl-C. Try it:

  curl -si http://{client}/v1/chat/completions -H 'content-type: application/json' \
    -d '{{"model":"auto","messages":[{{"role":"user","content":"hello"}}]}}'

  python3 - <<'END'        # pip install openai
  from openai import OpenAI
  client = OpenAI(base_url="http://{client}/v1", api_key="not-needed")
  answer = client.chat.completions.with_raw_response.create(
      model="auto", messages=[{{"role": "user", "content": "hello"}}])
  print(answer.headers["x-tollgate-backend"], answer.headers["x-tollgate-cost-usd"])
  print(answer.parse().choices[0].message.content)
  END

Console: http://{admin}/, with the admin key that was printed at the start.
Metrics: http://{admin}/metrics. Why a request goes where it goes:

  tollgate explain --config config/demo.yaml request.json
"#
    )
}
