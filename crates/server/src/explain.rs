//! `costrel policy explain`: whether somebody may do something, and by what.

use std::process::ExitCode;

use costrel_protocol::query::Query;
use costrel_protocol::{Asker, Basis, Gateway, Question, Supposed, percent};
use serde_json::{Value, json};

use crate::asking::{self, AskError};
use crate::audit::Decision;
use crate::cli::PolicyExplainArgs;

/// Path of the answers at the console endpoint.
pub const PATH: &str = "/policy/explain";

/// Asks the running server.
pub fn run(args: PolicyExplainArgs) -> Result<ExitCode, AskError> {
    let target = target(&Asked::of(&args)?);
    let answer = asking::ask(args.serve, &target)?;
    let answer: Value = serde_json::from_str(&answer)
        .map_err(|error| AskError::Refused(format!("the server's answer is no JSON: {error}")))?;
    if args.json {
        println!("{answer:#}");
    } else {
        print!("{}", for_people(&answer));
    }
    Ok(match answer["allowed"].as_bool() {
        Some(true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What is asked for, by names and values.
struct Asked(Vec<(&'static str, String)>);

impl Asked {
    fn of(args: &PolicyExplainArgs) -> Result<Asked, AskError> {
        let asker = &args.asker;
        let named = [
            ("user", &asker.user),
            ("role", &asker.role),
            ("key", &asker.key),
            ("provider", &asker.provider),
        ];
        let mut asked: Vec<_> =
            named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        for (name, given) in [("root", asker.root), ("anonymous", asker.anonymous)] {
            if given {
                asked.push((name, String::new()));
            }
        }
        asked.push(("action", args.action.clone()));
        asked.push(("resource", args.resource.clone()));
        asked.extend(args.version_id.clone().map(|version| ("version", version)));
        for context in &args.context {
            if !context.contains('=') {
                return Err(AskError::Refused(format!("'{context}' is not KEY=VALUE")));
            }
            asked.push(("context", context.clone()));
        }
        Ok(Asked(asked))
    }
}

fn target(asked: &Asked) -> String {
    let pairs = asked.0.iter().map(|(name, value)| format!("{name}={}", percent::encode(value)));
    format!("{PATH}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// What the server answers; an error is what the operator is told.
pub async fn answer(gateway: &Gateway, query: &str) -> Result<String, String> {
    let query = Query::parse(query).map_err(|error| error.to_string())?;
    let mut context: Vec<(String, Vec<String>)> = Vec::new();
    for (_, given) in query.iter().filter(|(name, _)| *name == "context") {
        let (key, value) =
            given.split_once('=').ok_or_else(|| format!("'{given}' has no value"))?;
        match context.iter_mut().find(|(known, _)| known == key) {
            Some((_, values)) => values.push(value.to_owned()),
            None => context.push((key.to_owned(), vec![value.to_owned()])),
        }
    }
    let asker = match (query.get("user"), query.get("role"), query.get("key")) {
        (Some(name), ..) => Asker::User(name),
        (_, Some(name), _) => Asker::Role(name),
        (.., Some(id)) => Asker::Key(id),
        _ if query.has("provider") => Asker::Bearer(query.get("provider").unwrap_or_default()),
        _ if query.has("root") => Asker::Root,
        _ => Asker::Anonymous,
    };
    let question = Question {
        asker,
        action: query.get("action").unwrap_or_default(),
        resource: query.get("resource").unwrap_or_default(),
        version: query.get("version"),
        context: &context,
    };
    let supposed = gateway.suppose(&question).await.map_err(|fault| fault.to_string())?;
    Ok(document(&supposed).to_string())
}

fn document(supposed: &Supposed) -> Value {
    let explained = &supposed.explained;
    let mut document = json!({
        "allowed": explained.allowed,
        "text": explained.to_string(),
        "decision": Decision::of(explained),
        "action": { "cam": supposed.action.cam, "iam": supposed.action.iam },
        "missing": supposed.missing,
    });
    if let Basis::Statement { span: Some((from, _)), .. } = &explained.basis {
        document["line"] = from.line.into();
        document["column"] = from.column.into();
    }
    document
}

fn for_people(answer: &Value) -> String {
    let mut text = format!("{}\n", answer["text"].as_str().unwrap_or_default());
    if let (Some(line), Some(column)) = (answer["line"].as_u64(), answer["column"].as_u64()) {
        text.push_str(&format!("  at line {line}, column {column} of its text\n"));
    }
    let missing = answer["missing"].as_array().into_iter().flatten();
    let missing: Vec<_> = missing.filter_map(Value::as_str).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        text.push_str(&format!("  taken not to be there, unless given as --context: {missing}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lines() {
        let answer = json!({
            "allowed": false, "text": "denied: x", "line": 3, "column": 5, "missing": ["a", "b"]
        });
        assert_eq!(
            for_people(&answer),
            "denied: x\n  at line 3, column 5 of its text\n  taken not to be there, unless given \
             as --context: a, b\n"
        );
        assert_eq!(for_people(&json!({ "text": "allowed: y" })), "allowed: y\n");
    }

    #[test]
    fn what_is_asked_for_stands_in_one_target() {
        let asked = Asked(vec![("user", "a b".into()), ("context", "aws:SourceIp=::1".into())]);
        assert_eq!(target(&asked), "/policy/explain?user=a%20b&context=aws%3ASourceIp%3D%3A%3A1");
    }
}
