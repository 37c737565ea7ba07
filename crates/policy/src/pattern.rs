//! Texts with wildcards and variables: `*` is any number of characters, `?` one,
//! `${key}` what the request says of a key, taken literally.

use std::borrow::Cow;

use crate::condition::Truth;
use crate::fault::PolicyFault;
use crate::key::Key;
use crate::value::{Fact, Facts};

/// What stands in a text besides itself.
#[derive(Clone, Copy)]
pub(crate) struct Syntax {
    pub wildcards: bool,
    /// Reads the name of a variable; `None` where there are none.
    pub variables: Option<fn(&str) -> Option<Key>>,
    /// Compares without regard to case.
    pub fold: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    shape: Shape,
    fold: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    All,
    Exact(Box<str>),
    Prefix(Box<str>),
    Wild(Box<[Token]>),
    Variable(Box<[Piece]>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Char(char),
    One,
    Any,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Token(Token),
    Key(Key, Option<Box<str>>),
}

impl Pattern {
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Pattern, PolicyFault> {
        let mut pieces = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(variables) = syntax.variables
                && let Some(behind) = rest.strip_prefix("${")
            {
                let invalid = || PolicyFault::Variable(text.to_owned());
                let (name, behind) = behind.split_once('}').ok_or_else(invalid)?;
                pieces.push(variable(name, variables).ok_or_else(invalid)?);
                rest = behind;
                continue;
            }
            pieces.push(Piece::Token(match c {
                '*' if syntax.wildcards => Token::Any,
                '?' if syntax.wildcards => Token::One,
                c => Token::Char(c),
            }));
            rest = &rest[c.len_utf8()..];
        }
        Ok(Pattern { shape: Shape::of(pieces, syntax.fold), fold: syntax.fold })
    }

    /// A text that means itself.
    pub(crate) fn literal(text: &str) -> Pattern {
        Pattern { shape: Shape::Exact(text.into()), fold: false }
    }

    pub(crate) fn matches(&self, text: &str, facts: &dyn Facts) -> Truth {
        let text = folded(text, self.fold);
        match &self.shape {
            Shape::Variable(pieces) => match resolve(pieces, facts, self.fold, text.len()) {
                Ok(tokens) => wild(&tokens, &text).into(),
                Err(truth) => truth,
            },
            _ => self.matches_plainly(&text).into(),
        }
    }

    /// Whether it matches a text that is in lower case already, if case does not
    /// count. Only of patterns without variables.
    pub(crate) fn matches_folded(&self, text: &str) -> bool {
        self.matches_plainly(text)
    }

    /// Whether it matches, a variable being anything.
    pub(crate) fn may_match(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Variable(pieces) => {
                let any = |piece: &Piece| match piece {
                    Piece::Token(token) => *token,
                    Piece::Key(..) => Token::Any,
                };
                wild(&pieces.iter().map(any).collect::<Vec<_>>(), &folded(text, self.fold))
            }
            _ => self.matches_plainly(&folded(text, self.fold)),
        }
    }

    fn matches_plainly(&self, text: &str) -> bool {
        match &self.shape {
            Shape::All => true,
            Shape::Exact(exact) => **exact == *text,
            Shape::Prefix(prefix) => text.starts_with(&**prefix),
            Shape::Wild(tokens) => wild(tokens, text),
            Shape::Variable(_) => false,
        }
    }

    /// Whether a variable in it stands for one of these keys.
    pub(crate) fn asks(&self, about: &impl Fn(&Key) -> bool) -> bool {
        match &self.shape {
            Shape::Variable(pieces) => {
                pieces.iter().any(|piece| matches!(piece, Piece::Key(key, _) if about(key)))
            }
            _ => false,
        }
    }

    /// Whether it means one text only.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self.shape, Shape::Exact(_))
    }
}

impl Shape {
    fn of(pieces: Vec<Piece>, fold: bool) -> Shape {
        let mut tokens = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            match piece {
                Piece::Token(Token::Char(c)) if fold => {
                    tokens.extend(c.to_lowercase().map(Token::Char));
                }
                Piece::Token(token) => tokens.push(*token),
                Piece::Key(..) => return Shape::Variable(pieces.into()),
            }
        }
        let front: String = tokens
            .iter()
            .map_while(|token| match token {
                Token::Char(c) => Some(*c),
                Token::One | Token::Any => None,
            })
            .collect();
        match &tokens[front.chars().count()..] {
            [] => Shape::Exact(front.into()),
            [Token::Any] if front.is_empty() => Shape::All,
            [Token::Any] => Shape::Prefix(front.into()),
            _ => Shape::Wild(tokens.into()),
        }
    }
}

pub(crate) fn folded(text: &str, fold: bool) -> Cow<'_, str> {
    match fold && text.chars().any(|c| !c.is_ascii() || c.is_ascii_uppercase()) {
        true => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
        false => Cow::Borrowed(text),
    }
}

/// `${name}`, `${name, 'default'}`, or one of `${*}`, `${?}`, `${$}`.
fn variable(name: &str, variables: fn(&str) -> Option<Key>) -> Option<Piece> {
    if let "*" | "?" | "$" = name {
        return Some(Piece::Token(Token::Char(name.chars().next()?)));
    }
    let (name, default) = match name.split_once(',') {
        Some((name, default)) => {
            let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            (name.trim(), Some(default.into()))
        }
        None => (name, None),
    };
    Some(Piece::Key(variables(name)?, default))
}

/// The tokens with what the variables stand for. Where one stands for nothing,
/// nothing can be compared: that is what comes of the comparison then. Where they stand for
/// more than `chars_max`, no text of so many matches, and it is not made: a short pattern can
/// ask for a long value many times.
fn resolve(
    pieces: &[Piece],
    facts: &dyn Facts,
    fold: bool,
    chars_max: usize,
) -> Result<Vec<Token>, Truth> {
    let mut tokens = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if tokens.len() > pieces.len().saturating_add(chars_max) {
            return Err(Truth::False);
        }
        match piece {
            Piece::Token(Token::Char(c)) if fold => {
                tokens.extend(c.to_lowercase().map(Token::Char));
            }
            Piece::Token(token) => tokens.push(*token),
            Piece::Key(key, default) => {
                let fact = facts.fact(key);
                let text = match (&fact, default) {
                    (Fact::One(value), _) => value.text(),
                    (Fact::Absent, Some(default)) => Cow::Borrowed(&**default),
                    (Fact::Unknown, _) => return Err(Truth::Unknown),
                    (Fact::Absent | Fact::Many(_), _) => return Err(Truth::False),
                };
                tokens.extend(folded(&text, fold).chars().map(Token::Char));
            }
        }
    }
    Ok(tokens)
}

/// Matches by going back to the last `*` only: at most text times pattern steps.
fn wild(tokens: &[Token], text: &str) -> bool {
    let (mut at, mut rest) = (0, text);
    let mut star: Option<(usize, &str)> = None;
    loop {
        let next = rest.chars().next();
        match (tokens.get(at), next) {
            (Some(Token::Any), _) => {
                at += 1;
                star = Some((at, rest));
                continue;
            }
            (Some(Token::One), Some(c)) => {
                at += 1;
                rest = &rest[c.len_utf8()..];
                continue;
            }
            (Some(Token::Char(wanted)), Some(c)) if *wanted == c => {
                at += 1;
                rest = &rest[c.len_utf8()..];
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((behind, from)) = star else { return false };
        let Some(c) = from.chars().next() else { return false };
        let from = &from[c.len_utf8()..];
        star = Some((behind, from));
        (at, rest) = (behind, from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;
    use crate::value::Value;

    struct Says(Fact<'static>);

    impl Facts for Says {
        fn fact(&self, _: &Key) -> Fact<'_> {
            self.0.clone()
        }
    }

    fn pattern(text: &str, fold: bool) -> Pattern {
        let variables: fn(&str) -> Option<Key> = key::variable_of_iam;
        Pattern::parse(text, Syntax { wildcards: true, variables: Some(variables), fold }).unwrap()
    }

    fn matches(text: &str, against: &str) -> bool {
        pattern(text, false).matches(against, &Says(Fact::Absent)) == Truth::True
    }

    #[test]
    fn wildcards() {
        for (text, yes, no) in [
            ("*", &["", "a", "a/b"][..], &[][..]),
            ("", &[""], &["a"]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*a", &["a", "aa", "ba"], &["ab", ""]),
            ("a?c", &["abc", "a云c"], &["ac", "abbc"]),
            ("a*b*c", &["abc", "aXbYc", "abbbcc"], &["acb", "ab"]),
            ("**?", &["x", "xyz"], &[""]),
            ("bucket/*/x*.jpg", &["bucket/a/x.jpg", "bucket/a/b/xy.jpg"], &["bucket/x.jpg"]),
        ] {
            yes.iter().for_each(|one| assert!(matches(text, one), "{text} {one}"));
            no.iter().for_each(|one| assert!(!matches(text, one), "{text} {one}"));
        }
        assert!(
            pattern("S3:Get*", true).matches("s3:GETobject", &Says(Fact::Absent)) == Truth::True
        );
    }

    /// What a key's value says is text, whatever is in it.
    #[test]
    fn variables_stand_for_text() {
        let says = |text: &'static str| Says(Fact::text(text));
        let home = pattern("home/${aws:username}/*", false);
        assert_eq!(home.matches("home/ann/x", &says("ann")), Truth::True);
        assert_eq!(home.matches("home/bob/x", &says("ann")), Truth::False);
        assert_eq!(home.matches("home/bob/x", &says("*")), Truth::False);
        assert_eq!(home.matches("home/*/x", &says("*")), Truth::True);
        assert_eq!(home.matches("home//x", &Says(Fact::Absent)), Truth::False);
        assert_eq!(home.matches("home/ann/x", &Says(Fact::Unknown)), Truth::Unknown);
        let number = Says(Fact::One(Value::Number(7)));
        assert_eq!(home.matches("home/7/", &number), Truth::True);
        let default = pattern("home/${aws:username, 'all'}/*", false);
        assert_eq!(default.matches("home/all/", &Says(Fact::Absent)), Truth::True);
        assert!(home.may_match("home/anything/at/all"));
        let literal = pattern("a${*}${?}${$}b", false);
        assert_eq!(literal.matches("a*?$b", &Says(Fact::Absent)), Truth::True);
        assert_eq!(literal.matches("aXYZb", &Says(Fact::Absent)), Truth::False);
        for bad in ["${", "${aws:username", "${no:such}", "${aws:username, all}"] {
            let variables: fn(&str) -> Option<Key> = key::variable_of_iam;
            let syntax = Syntax { wildcards: true, variables: Some(variables), fold: false };
            assert!(Pattern::parse(bad, syntax).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_do_not_multiply_what_they_stand_for() {
        let syntax = Syntax { wildcards: true, variables: Some(key::variable_of_iam), fold: false };
        let pattern = Pattern::parse(&"${aws:username}".repeat(1000), syntax).unwrap();
        let Shape::Variable(pieces) = &pattern.shape else { panic!("no variables") };
        let name = "a".repeat(1000);
        let says = |name: &str| Says(Fact::text(name.to_owned()));
        assert_eq!(resolve(pieces, &says(&name), false, 5000), Err(Truth::False));
        assert_eq!(pattern.matches(&"a".repeat(5000), &says(&name)), Truth::False);
        assert_eq!(pattern.matches(&"a".repeat(1_000_000), &says(&name)), Truth::True);
    }

    #[test]
    fn no_pattern_takes_long() {
        let tokens = pattern(&"*a".repeat(4000), false);
        assert_eq!(tokens.matches(&"a".repeat(1024), &Says(Fact::Absent)), Truth::False);
        assert_eq!(
            pattern(&format!("*{}b", "a".repeat(4000)), false)
                .matches(&"a".repeat(1024), &Says(Fact::Absent)),
            Truth::False
        );
    }
}
