//! The source text of the crate as a tree of modules, and every path that stands in it.
//!
//! `use` trees, paths in expressions and types, attributes and the tokens inside of macros are
//! resolved to full paths (`crate::route::plan`, `tokio::time::Instant::now`). It judges nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::Path,
};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ImplItem, Item, Meta, UseTree, Visibility,
    spanned::Spanned,
    visit::{self, Visit},
};

/// The crate's files, parsed.
pub(crate) struct Tree {
    pub(crate) files: Vec<Source>,
    /// Files that no `mod` declares.
    pub(crate) orphans: Vec<String>,
}

/// One file.
pub(crate) struct Source {
    /// From the root of the repository: `src/call/judge.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
    /// `crate`, `call`, `judge`; the program itself is `main`.
    pub(crate) module: Vec<String>,
    /// Compiled for tests only.
    pub(crate) for_tests: bool,
}

/// A path that stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// In full, as far as the file tells: `crate`, `route`, `plan`.
    pub(crate) path: Vec<String>,
    /// As written.
    pub(crate) written: Vec<String>,
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    /// Inside of `#[cfg(test)]`.
    pub(crate) in_test: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Use,
    PublicUse,
    /// `use path::*`
    Glob,
    Path,
}

impl Tree {
    /// The files of a folder of the disk that holds `src/lib.rs`.
    pub(crate) fn of_folder(root: &Path) -> Self {
        let mut texts = BTreeMap::new();
        read_folder(root, &root.join("src"), &mut texts);
        Self::of(texts)
    }

    /// Files given as path and text.
    pub(crate) fn of(texts: BTreeMap<String, String>) -> Self {
        let mut parsed: BTreeMap<String, syn::File> = texts
            .iter()
            .map(|(path, text)| {
                let syntax = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}: {e}"));
                (path.clone(), syntax)
            })
            .collect();
        let mut found = BTreeMap::new();
        for start in ["src/lib.rs", "src/main.rs"] {
            if let Some(syntax) = parsed.get(start) {
                found.insert(start.to_owned(), false);
                declared("src/", &syntax.items, false, &parsed, &mut found);
            }
        }
        let orphans = texts
            .keys()
            .filter(|path| !found.contains_key(*path))
            .cloned()
            .collect();
        let files = texts.into_iter().filter_map(|(path, text)| {
            Some(Source {
                module: module(&path),
                for_tests: *found.get(&path)?,
                syntax: parsed.remove(&path)?,
                path,
                text,
            })
        });
        Self {
            files: files.collect(),
            orphans,
        }
    }

    /// What is not compiled for tests only.
    pub(crate) fn program(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| !file.for_tests)
    }
}

impl Source {
    /// Every path outside of test code.
    pub(crate) fn mentions(&self) -> Vec<Mention> {
        let mut all = self.all_mentions();
        all.retain(|mention| !mention.in_test);
        all
    }

    /// Every path, in test code too.
    pub(crate) fn all_mentions(&self) -> Vec<Mention> {
        let mut names = Names::default();
        names.visit_file(&self.syntax);
        let mut reader = Reader {
            module: self.module.clone(),
            children: names.children,
            aliases: HashMap::new(),
            in_test: self.for_tests,
            out: Vec::new(),
        };
        for (alias, written) in names.imports {
            let path = reader.resolve(&written);
            reader.aliases.insert(alias, path);
        }
        reader.visit_file(&self.syntax);
        reader.out
    }

    /// The name under `crate` that this file belongs to; `None` for `src/lib.rs`.
    pub(crate) fn room(&self) -> Option<&str> {
        self.module.get(1).map(String::as_str)
    }
}

impl Mention {
    /// The path as text.
    pub(crate) fn name(&self) -> String {
        self.path.join("::")
    }

    /// Is it this path, or something inside of it?
    pub(crate) fn is_in(&self, path: &str) -> bool {
        let mut own = self.path.iter();
        path.split("::")
            .all(|part| own.next().is_some_and(|segment| segment == part))
    }

    /// The name under `crate` that it leads to.
    pub(crate) fn room(&self) -> Option<&str> {
        match self.path.first().map(String::as_str) {
            Some("crate") => self.path.get(1).map(String::as_str),
            _ => None,
        }
    }
}

fn read_folder(root: &Path, folder: &Path, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(root, &path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            texts.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Follows `mod name;` from file to file; notes for each whether only tests see it.
fn declared(
    folder: &str,
    items: &[Item],
    for_tests: bool,
    parsed: &BTreeMap<String, syn::File>,
    found: &mut BTreeMap<String, bool>,
) {
    for item in items {
        let Item::Mod(child) = item else { continue };
        let for_tests = for_tests || is_for_tests(&child.attrs);
        let inside = format!("{folder}{}/", child.ident);
        if let Some((_, items)) = &child.content {
            declared(&inside, items, for_tests, parsed, found);
            continue;
        }
        let path = format!("{folder}{}.rs", child.ident);
        if let Some(syntax) = parsed.get(&path) {
            found.insert(path, for_tests);
            declared(&inside, &syntax.items, for_tests, parsed, found);
        }
    }
}

fn module(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    match inner {
        "lib" => vec!["crate".to_owned()],
        _ => std::iter::once("crate")
            .chain(inner.split('/'))
            .map(str::to_owned)
            .collect(),
    }
}

/// Does `#[cfg(test)]` or `#[test]` stand there?
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test")
        }
        Meta::List(_) | Meta::NameValue(_) => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The names that a file gives to what it imports, and its child modules. A name that is imported
/// twice in one file is taken for the last of them: the house has no such file.
#[derive(Default)]
struct Names {
    imports: Vec<(String, Vec<String>)>,
    children: HashSet<String>,
}

impl<'a> Visit<'a> for Names {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        for leaf in leaves(&item.tree) {
            if let Some(alias) = leaf.alias {
                self.imports.push((alias, leaf.path));
            }
        }
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            self.children.insert(item.ident.to_string());
        }
        visit::visit_item_mod(self, item);
    }
}

/// One import of a `use` tree.
struct Leaf {
    path: Vec<String>,
    /// The name it gets; `None`: a glob, or `_`.
    alias: Option<String>,
    glob: bool,
    at: Span,
}

fn leaves(tree: &UseTree) -> Vec<Leaf> {
    let mut out = Vec::new();
    collect(tree, &mut Vec::new(), &mut out);
    out
}

fn collect(tree: &UseTree, before: &mut Vec<String>, out: &mut Vec<Leaf>) {
    let mut leaf = |path: Vec<String>, alias: Option<String>, glob, at| {
        out.push(Leaf {
            path,
            alias,
            glob,
            at,
        });
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            collect(&path.tree, before, out);
            before.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                collect(tree, before, out);
            }
        }
        UseTree::Name(name) if name.ident == "self" => {
            leaf(before.clone(), before.last().cloned(), false, name.span());
        }
        UseTree::Name(name) => {
            let ident = name.ident.to_string();
            let path = [&before[..], std::slice::from_ref(&ident)].concat();
            leaf(path, Some(ident), false, name.span());
        }
        UseTree::Rename(rename) => {
            let mut path = before.clone();
            if rename.ident != "self" {
                path.push(rename.ident.to_string());
            }
            let alias = rename.rename.to_string();
            leaf(path, (alias != "_").then_some(alias), false, rename.span());
        }
        UseTree::Glob(glob) => leaf(before.clone(), None, true, glob.span()),
    }
}

/// Walks over a file and notes paths.
struct Reader {
    /// Where it is, inline modules included.
    module: Vec<String>,
    children: HashSet<String>,
    aliases: HashMap<String, Vec<String>>,
    in_test: bool,
    out: Vec<Mention>,
}

impl Reader {
    fn resolve(&self, written: &[String]) -> Vec<String> {
        let mut from = self.module.clone();
        let mut rest = written;
        match written.first().map(String::as_str) {
            Some("crate" | "tollgate") => from = vec!["crate".to_owned()],
            Some("self") => {}
            Some("super") => {
                while rest.first().is_some_and(|part| part == "super") {
                    from.pop();
                    rest = &rest[1..];
                }
                return [&from[..], rest].concat();
            }
            Some(first) => {
                if let Some(path) = self.aliases.get(first) {
                    from.clone_from(path);
                } else if self.children.contains(first) {
                    from.push(first.to_owned());
                } else {
                    return written.to_vec();
                }
            }
            None => return Vec::new(),
        }
        rest = &rest[1..];
        [&from[..], rest].concat()
    }

    fn note(&mut self, written: Vec<String>, at: Span, kind: Kind) {
        if written.is_empty() {
            return;
        }
        self.out.push(Mention {
            path: self.resolve(&written),
            written,
            line: at.start().line,
            kind,
            in_test: self.in_test,
        });
    }

    fn word(&mut self, word: &str, at: Span) {
        self.note(vec![word.to_owned()], at, Kind::Path);
    }

    /// Reading a clock by a method of a moment.
    fn elapsed(&mut self, at: Span) {
        let path = ["std", "time", "Instant", "elapsed"];
        self.note(path.map(str::to_owned).to_vec(), at, Kind::Path);
    }

    /// Paths in tokens that are not parsed: those of macros and attributes.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == c);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => {
                    if group.delimiter() != Delimiter::None || !group.stream().is_empty() {
                        self.tokens(group.stream());
                    }
                    at += 1;
                }
                TokenTree::Ident(first) => {
                    let after_dot = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
                    let mut path = vec![first.to_string()];
                    at += 1;
                    while is(at, ':') && is(at + 1, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else {
                            break;
                        };
                        path.push(next.to_string());
                        at += 3;
                    }
                    if is(at, '!') && !is(at + 1, '=') {
                        mark_macro(&mut path);
                    }
                    match (after_dot, path[0].as_str()) {
                        (_, "await" | "async") => self.word("async", first.span()),
                        (true, "elapsed") => self.elapsed(first.span()),
                        (true, _) => {}
                        (false, _) => self.note(path, first.span(), Kind::Path),
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }
}

/// `println` becomes `println!`; a macro with a path keeps it.
fn mark_macro(path: &mut [String]) {
    if let [only] = path {
        only.push('!');
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    let parts = path.segments.iter();
    parts.map(|segment| segment.ident.to_string()).collect()
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a Item) {
        let before = self.in_test;
        self.in_test |= is_for_tests(attributes(item));
        visit::visit_item(self, item);
        self.in_test = before;
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let before = self.in_test;
        if let ImplItem::Fn(method) = item {
            self.in_test |= is_for_tests(&method.attrs);
        }
        visit::visit_impl_item(self, item);
        self.in_test = before;
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let public = !matches!(item.vis, Visibility::Inherited);
        for leaf in leaves(&item.tree) {
            let kind = match (leaf.glob, public) {
                (true, _) => Kind::Glob,
                (false, true) => Kind::PublicUse,
                (false, false) => Kind::Use,
            };
            self.note(leaf.path, leaf.at, kind);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.note(segments(path), path.span(), Kind::Path);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, it: &'a syn::Macro) {
        let mut path = segments(&it.path);
        mark_macro(&mut path);
        self.note(path, it.path.span(), Kind::Path);
        self.tokens(it.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        match &attribute.meta {
            Meta::List(list) => self.tokens(list.tokens.clone()),
            Meta::Path(_) | Meta::NameValue(_) => {}
        }
    }

    fn visit_signature(&mut self, signature: &'a syn::Signature) {
        if let Some(keyword) = signature.asyncness {
            self.word("async", keyword.span);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Async(it) => self.word("async", it.async_token.span),
            Expr::Await(it) => self.word("async", it.await_token.span),
            Expr::Closure(it) => {
                if let Some(keyword) = it.asyncness {
                    self.word("async", keyword.span);
                }
            }
            Expr::MethodCall(call) if call.method == "elapsed" => self.elapsed(call.method.span()),
            _ => {}
        }
        visit::visit_expr(self, expression);
    }
}

/// Functions, methods and types that the crate defines, with everything that leads to them:
/// `crate::settle::Account::close`.
pub(crate) fn definitions(tree: &Tree) -> (BTreeSet<Vec<String>>, BTreeSet<String>) {
    let mut finder = Definitions::default();
    for file in tree.program() {
        finder.at.clone_from(&file.module);
        finder.visit_file(&file.syntax);
    }
    (finder.functions, finder.types)
}

#[derive(Default)]
struct Definitions {
    at: Vec<String>,
    functions: BTreeSet<Vec<String>>,
    types: BTreeSet<String>,
}

impl Definitions {
    fn function(&mut self, name: &syn::Ident) {
        self.functions
            .insert([&self.at[..], &[name.to_string()]].concat());
    }

    fn inside(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        self.at.push(name);
        visit(self);
        self.at.pop();
    }
}

impl<'a> Visit<'a> for Definitions {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.function(&item.sig.ident);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.function(&item.sig.ident);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        self.function(&item.sig.ident);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        let name = match &*item.self_ty {
            syn::Type::Path(path) => segments(&path.path).pop().unwrap_or_default(),
            _ => String::new(),
        };
        self.inside(name, |it| visit::visit_item_impl(it, item));
    }

    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        self.types.insert(item.ident.to_string());
        self.inside(item.ident.to_string(), |it| {
            visit::visit_item_trait(it, item);
        });
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            self.inside(item.ident.to_string(), |it| visit::visit_item_mod(it, item));
        }
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.types.insert(item.ident.to_string());
    }

    fn visit_item_type(&mut self, item: &'a syn::ItemType) {
        self.types.insert(item.ident.to_string());
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.types.insert(item.ident.to_string());
        for variant in &item.variants {
            self.types.insert(variant.ident.to_string());
            self.types
                .insert(format!("{}::{}", item.ident, variant.ident));
        }
    }
}
