//! Which quantities of a call count, where several are known.
//!
//! Speech may be billed by characters or by tokens, a transcript by the minute or by tokens, an
//! image by the piece or by tokens; the card says which. What a backend reports counts before what
//! was measured of the request, and nothing is ever billed in two units.

use crate::{caps::Cap, usage::Usage};

use super::{Card, Rates};

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metered {
    pub usage: Usage,
    /// Is it an estimate? Characters, images and searches are counted exactly; tokens and the
    /// length of a recording are not.
    pub estimated: bool,
}

/// What counts of a call on these cards.
#[must_use]
pub fn meter(cards: &[Card], reported: Option<&Usage>, measured: &Usage) -> Metered {
    let prices = |of: fn(&Rates) -> bool| cards.iter().any(|card| of(&card.rates));
    let by_tokens = prices(|rates| rates.input.is_some() || rates.output.is_some());
    if let Some(reported) = reported
        && has_tokens(reported)
        && (by_tokens || cards.is_empty())
    {
        return known(*reported);
    }
    let said = reported.copied().unwrap_or_default();
    let or = |said: u64, measured: u64, priced: bool| match (priced, said) {
        (false, _) => 0,
        (true, 0) => measured,
        (true, said) => said,
    };
    let fees = Usage {
        searches: or(
            said.searches,
            measured.searches,
            prices(|r| r.web_search_k.is_some()),
        ),
        requests: or(
            said.requests,
            measured.requests,
            prices(|r| r.request_k.is_some()),
        ),
        milliseconds: or(
            said.milliseconds,
            measured.milliseconds,
            prices(|r| r.audio_hour.is_some()),
        ),
        chars: or(said.chars, measured.chars, prices(|r| r.char_m.is_some())),
        images: or(
            said.images,
            measured.images,
            prices(|r| r.image_each.is_some()),
        ),
        pages: or(said.pages, measured.pages, prices(|r| r.page_k.is_some())),
        ..Usage::default()
    };
    if fees != Usage::default() {
        return Metered {
            usage: fees,
            estimated: fees.milliseconds > 0 && said.milliseconds == 0,
        };
    }
    match reported {
        Some(reported) if !by_tokens => known(*reported),
        _ => Metered {
            usage: tokens(measured),
            estimated: true,
        },
    }
}

/// Moves tokens to where they belong by what the model is for: reports of endpoints that write no
/// text say so only in a total, or in words that mean text elsewhere.
pub fn place(purpose: Cap, usage: &mut Usage) {
    let out = match purpose {
        Cap::Embeddings | Cap::Rerank | Cap::Moderation => &mut usage.input,
        Cap::Images => &mut usage.output_image,
        Cap::Speech => &mut usage.output_audio,
        _ => return,
    };
    *out = out
        .saturating_add(usage.output)
        .saturating_add(usage.reasoning);
    (usage.output, usage.reasoning) = (0, 0);
}

fn known(usage: Usage) -> Metered {
    Metered {
        usage,
        estimated: false,
    }
}

fn has_tokens(usage: &Usage) -> bool {
    usage.prompt_total() > 0 || usage.output_total() > 0
}

/// The tokens alone.
fn tokens(usage: &Usage) -> Usage {
    Usage {
        searches: 0,
        requests: 0,
        milliseconds: 0,
        chars: 0,
        images: 0,
        pages: 0,
        ..*usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Rate;

    fn card(set: fn(&mut Rates, Option<Rate>)) -> [Card; 1] {
        let mut rates = Rates::default();
        set(&mut rates, Some(Rate::ZERO));
        [Card::flat(rates, "test")]
    }

    fn measured() -> Usage {
        Usage {
            input: 170,
            milliseconds: 10_000,
            chars: 40,
            images: 2,
            searches: 1,
            requests: 1,
            ..Usage::default()
        }
    }

    fn of(cards: &[Card], reported: Option<Usage>) -> Metered {
        meter(cards, reported.as_ref(), &measured())
    }

    #[test]
    fn the_card_says_what_counts_of_what_was_measured() {
        let by_chars = of(&card(|rates, rate| rates.char_m = rate), None);
        let want = Usage {
            chars: 40,
            ..Usage::default()
        };
        assert_eq!((by_chars.usage, by_chars.estimated), (want, false));
        let by_time = of(&card(|rates, rate| rates.audio_hour = rate), None);
        let want = Usage {
            milliseconds: 10_000,
            ..Usage::default()
        };
        assert_eq!((by_time.usage, by_time.estimated), (want, true));
        let by_tokens = of(&card(|rates, rate| rates.input = rate), None);
        let want = Usage {
            input: 170,
            ..Usage::default()
        };
        assert_eq!((by_tokens.usage, by_tokens.estimated), (want, true));
    }

    #[test]
    fn what_is_reported_counts_before_what_was_measured() {
        let seconds = Usage {
            milliseconds: 9_000,
            ..Usage::default()
        };
        let by_time = of(&card(|rates, rate| rates.audio_hour = rate), Some(seconds));
        assert_eq!((by_time.usage, by_time.estimated), (seconds, false));
        let tokens = Usage {
            input: 5,
            output: 6,
            ..Usage::default()
        };
        let both = card(|rates, rate| {
            rates.audio_hour = rate;
            rates.input = rate;
        });
        assert_eq!(of(&both, Some(tokens)).usage, tokens, "never in two units");
        // a card without tokens has nothing to bill them by
        let each = of(&card(|rates, rate| rates.image_each = rate), Some(tokens));
        assert_eq!(
            each.usage,
            Usage {
                images: 2,
                ..Usage::default()
            }
        );
    }

    #[test]
    fn without_a_card_everything_that_was_reported_is_kept() {
        let tokens = Usage {
            input: 5,
            ..Usage::default()
        };
        assert_eq!(of(&[], Some(tokens)).usage, tokens);
        assert_eq!(of(&[], None).usage.input, 170);
    }
}
