use super::*;
use crate::catalog::{builtin, pick};

fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

/// A provider's file with one model and these cards.
fn catalogue(provider: &str, models: &[(&str, &str)]) -> Catalog {
    let mut text = format!(
        "schema = \"tollgate.catalog/1\"\ngenerated = \"2026-11-25\"\n[provider]\nid = \"{provider}\"\n\
         name = \"P\"\norigin = \"DE\"\nusage_adapter = \"openai\"\nprotocol = \"openai\"\nenv = []\n\
         address_basis = \"own\"\nregions = []\ntier_boundary = \"gt\"\n"
    );
    for (id, cards) in models {
        text.push_str(&format!(
            "[[model]]\nid = \"{id}\"\nmodel_key = \"{id}\"\nmode = \"chat\"\ncontext = 1000\n{cards}"
        ));
    }
    let provider = (provider.to_owned().into(), text.into());
    let (exchange, schedules) = (builtin().exchange.clone(), builtin().schedules.clone());
    Catalog::from_texts(exchange, schedules, [provider]).unwrap()
}

fn card(input: &str, more: &str) -> String {
    format!(
        "[[model.card]]\ntier = \"standard\"\nsource = \"list\"\nbasis = \"documented\"\n{more}\n\
         rates = {{ input = \"{input}\", output = \"8\" }}\n"
    )
}

/// What a refresh writes over a catalogue that has no files of the operator.
fn written(known: &Catalog, newer: &Newer<'_>, existing: Option<&str>) -> (Refresh, Vec<File>) {
    let mut refresh = compare((known, known), newer, now()).unwrap();
    let existing = |name: &str| existing.filter(|_| name == "p").map(str::to_owned);
    let files = refresh.files(known, newer, existing, now()).unwrap();
    (refresh, files)
}

/// The input prices of a model now and at another moment.
fn prices(known: &Catalog, files: &[File], model: &str, then: &str) -> (String, String) {
    let over = known.overlaid(files).unwrap().catalog;
    let provider = over.provider("p").unwrap().unwrap();
    let cards = &provider.model(model).unwrap().cards;
    let at = |moment: Timestamp| {
        let applies = pick::in_force(cards, moment, provider.boundary);
        let mut found = cards.iter().zip(applies).filter(|(_, applies)| *applies);
        let (card, _) = found.next().unwrap();
        assert!(found.next().is_none());
        card.rates.input.unwrap().to_string()
    };
    (at(now()), at(then.parse().unwrap()))
}

#[test]
fn what_is_written_prices_calls_from_now_on_and_leaves_the_past() {
    let known = catalogue("p", &[("m", &card("2", "")), ("n", &card("5", ""))]);
    let newer = catalogue("p", &[("m", &card("3", "")), ("n", &card("5", ""))]);
    let (refresh, files) = written(&known, &Newer::Catalog(&newer), None);
    assert_eq!(refresh.models.len(), 1);
    assert_eq!(
        prices(&known, &files, "m", "2026-11-25T11:59:59Z"),
        ("3".to_owned(), "2".to_owned())
    );
    assert_eq!(prices(&known, &files, "n", "2026-01-01T00:00:00Z").0, "5");
}

#[test]
fn a_second_refresh_from_the_same_list_finds_nothing() {
    let under = catalogue("p", &[("m", &card("2", ""))]);
    let newer = catalogue("p", &[("m", &card("3", ""))]);
    let (_, files) = written(&under, &Newer::Catalog(&newer), None);
    let over = under.overlaid(&files).unwrap().catalog;
    let again = compare((&over, &under), &Newer::Catalog(&newer), now()).unwrap();
    assert!(again.is_empty() && again.own.is_empty(), "{again:?}");
    let third = catalogue("p", &[("m", &card("4", ""))]);
    let third = compare((&over, &under), &Newer::Catalog(&third), now()).unwrap();
    assert_eq!(
        third.models.len(),
        1,
        "what a refresh wrote is no word of the operator"
    );
}

#[test]
fn what_the_operator_wrote_stays_with_his_comments() {
    let known = catalogue("p", &[("m", &card("2", ""))]);
    let newer = catalogue("p", &[("m", &card("3", "")), ("new", &card("1", ""))]);
    let mine = "# agreed with Ms Li\nschema = \"tollgate.catalog/1\"\n[provider]\nid = \"p\"\n\
                base_url = \"https://eu.example/v1\" # ours\n[[model]]\nid = \"m\"\ncontext = 7\n";
    let (_, files) = written(&known, &Newer::Catalog(&newer), Some(mine));
    let text = &files[0].text;
    for kept in [
        "# agreed with Ms Li\n",
        "\"https://eu.example/v1\" # ours\n",
        "context = 7\n",
    ] {
        assert!(text.contains(kept), "{text}");
    }
    assert_eq!(prices(&known, &files, "m", "2026-01-01T00:00:00Z").0, "3");
    assert_eq!(prices(&known, &files, "new", "2026-01-01T00:00:00Z").0, "1");
}

#[test]
fn cards_that_the_operator_wrote_himself_are_never_replaced() {
    let under = catalogue("p", &[("m", &card("2", ""))]);
    let mine = catalogue("p", &[("m", &card("1.5", ""))]);
    let newer = catalogue("p", &[("m", &card("3", ""))]);
    let refresh = compare((&mine, &under), &Newer::Catalog(&newer), now()).unwrap();
    assert!(refresh.models.is_empty());
    assert_eq!(refresh.own, [("p".into(), "m".into())]);
}

#[test]
fn a_model_and_a_provider_that_are_new_are_taken_over_and_one_that_is_gone_is_kept() {
    let known = catalogue("p", &[("m", &card("2", ""))]);
    let newer = catalogue("q", &[("x", &card("3", "")), ("y", &card("4", ""))]);
    let (refresh, files) = written(&known, &Newer::Catalog(&newer), None);
    assert_eq!(refresh.added.len(), 2);
    let over = known.overlaid(&files).unwrap().catalog;
    let q = over.provider("q").unwrap().unwrap();
    assert_eq!(q.models.len(), 2);
    let newer = catalogue("p", &[("other", &card("3", ""))]);
    let (refresh, files) = written(&known, &Newer::Catalog(&newer), None);
    assert_eq!(refresh.gone, [("p".into(), "m".into())]);
    assert_eq!(prices(&known, &files, "m", "2026-01-01T00:00:00Z").0, "2");
}

#[test]
fn several_models_in_one_file_keep_their_own_cards() {
    let old = "until = \"2026-05-01T00:00:00Z\"";
    let new = "from = \"2026-05-01T00:00:00Z\"";
    let two = |one: &str, two: &str| format!("{}{}", card(one, old), card(two, new));
    let known = catalogue("p", &[("m", &two("1", "2")), ("n", &two("5", "6"))]);
    let newer = catalogue(
        "p",
        &[
            ("m", &card("3", "")),
            ("n", &card("7", "")),
            ("k", &two("8", "9")),
        ],
    );
    let (refresh, files) = written(&known, &Newer::Catalog(&newer), None);
    assert!(refresh.unread.is_empty(), "{:?}", refresh.unread);
    for (model, now, then) in [("m", "3", "1"), ("n", "7", "5"), ("k", "9", "8")] {
        let found = prices(&known, &files, model, "2026-01-01T00:00:00Z");
        assert_eq!(found, (now.to_owned(), then.to_owned()), "{model}");
    }
}

#[test]
fn exchange_rates_and_windows_of_a_newer_catalogue_are_taken_over() {
    let known = catalogue("p", &[("m", &card("2", ""))]);
    let more = "[[rate]]\npair = \"CNY/USD\"\nfrom = \"2026-11-20\"\nnum = 1\nden = 7\n\
                source = \"bank\"\n";
    let exchange = format!("{}\n{more}", builtin().exchange);
    let provider = ("p".into(), known.text("p").unwrap().to_owned().into());
    let newer = Catalog::from_texts(exchange, builtin().schedules.clone(), [provider]).unwrap();
    let (refresh, files) = written(&known, &Newer::Catalog(&newer), None);
    assert!(refresh.is_empty());
    let [file] = files.as_slice() else {
        panic!("{files:?}");
    };
    assert_eq!(file.name, "_fx");
    let over = known.overlaid(&files).unwrap().catalog;
    assert_eq!(&*over.shared().exchange[0].source, "bank");
    assert!(!file.text.contains("placeholder"), "only what is new");
}

#[test]
fn a_change_that_would_leave_calls_without_a_price_is_left_out_and_said() {
    let known = catalogue("p", &[("m", &card("2", "")), ("n", &card("2", ""))]);
    let broken = card("3", "over = 100");
    let newer = catalogue("p", &[("m", &broken), ("n", &card("3", ""))]);
    let (refresh, files) = written(&known, &Newer::Catalog(&newer), None);
    assert_eq!(refresh.models.len(), 1);
    assert!(
        refresh.unread[0].what.contains("without one clear price"),
        "{refresh:?}"
    );
    assert_eq!(prices(&known, &files, "m", "2026-01-01T00:00:00Z").0, "2");
    assert_eq!(prices(&known, &files, "n", "2026-01-01T00:00:00Z").0, "3");
}

#[test]
fn the_built_in_catalogue_differs_in_nothing_from_itself() {
    let refresh = compare((builtin(), builtin()), &Newer::Catalog(builtin()), now()).unwrap();
    assert!(refresh.is_empty() && refresh.unread.is_empty() && refresh.gone.is_empty());
}

#[test]
fn a_change_is_told_in_percent_where_there_is_one() {
    let difference = |old: Option<&str>, new: Option<&str>| Difference {
        tier: "standard".into(),
        over: None,
        window: None,
        when: None,
        rate: "input",
        old: old.map(|old| old.parse().unwrap()),
        new: new.map(|new| new.parse().unwrap()),
        currencies: (Currency::Usd, Currency::Usd),
        from: None,
    };
    for (old, new, percent) in [
        (Some("2"), Some("2.5"), Some("+25.0 %")),
        (Some("2.5"), Some("2"), Some("-20.0 %")),
        (Some("3"), Some("3.001"), Some("+0.0 %")),
        (Some("0.4"), Some("0.3998"), Some("-0.1 %")),
        (Some("2"), Some("0"), Some("-100.0 %")),
        (Some("0"), Some("2"), None),
        (None, Some("2"), None),
        (Some("2"), None, None),
    ] {
        assert_eq!(
            difference(old, new).percent().as_deref(),
            percent,
            "{old:?} {new:?}"
        );
    }
    let yuan = Difference {
        currencies: (Currency::Cny, Currency::Usd),
        ..difference(Some("2"), Some("3"))
    };
    assert_eq!(yuan.percent(), None);
}
