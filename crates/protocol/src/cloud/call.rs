//! What a request asks for, whichever way its parameters came.

use std::borrow::Cow;
use std::collections::BTreeMap;

use costrel_signature::encode::QueryPair;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

use super::failure::CloudFailure;
use super::{HEADER_ACTION, capitalized};
use crate::request::text;

/// Parameters that every action has when none is in a header.
const COMMON: [&str; 12] = [
    "Action",
    "Version",
    "Region",
    "Timestamp",
    "Nonce",
    "SecretId",
    "Signature",
    "SignatureMethod",
    "Token",
    "Language",
    "RequestClient",
    "TraceId",
];

/// Parameters that name somebody or something.
const ABOUT: &[&str] = &[
    "Name",
    "TargetUin",
    "AttachUin",
    "DetachUin",
    "AccessKeyId",
    "Status",
    "PolicyId",
    "PolicyName",
    "GroupId",
    "GroupName",
    "AttachGroupId",
    "DetachGroupId",
    "RoleId",
    "RoleName",
    "AttachRoleId",
    "AttachRoleName",
    "DetachRoleId",
    "DetachRoleName",
    "RoleArn",
    "RoleSessionName",
    "SourceIdentity",
    "ProviderId",
    "IdentityUrl",
    "DurationSeconds",
];

/// Of each of them, characters at most.
const ABOUT_CHARS_MAX: usize = 256;

pub(super) struct Call<'a> {
    headers: &'a HeaderMap,
    parameters: Parameters<'a>,
}

enum Parameters<'a> {
    /// The body's object.
    Json(Map<String, Value>),
    /// Flat pairs of a query or a form: `Tags.0.Key=…`.
    Pairs(&'a [QueryPair<'a>]),
}

/// Some numbers by their names, `None` for what is none.
#[derive(Default)]
pub(super) struct Record(Vec<(&'static str, Option<i64>)>);

impl Record {
    fn from_json(json: &Value, fields: &[&'static str]) -> Option<Record> {
        let mut record = Record::default();
        for (name, value) in json.as_object()?.iter().filter(|(_, value)| !value.is_null()) {
            record.0.push((fields.iter().find(|known| *known == name)?, value.as_i64()));
        }
        Some(record)
    }

    pub fn number(&self, name: &'static str) -> Result<Option<i64>, CloudFailure> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, number)| number.ok_or(CloudFailure::BadType(name))).transpose()
    }
}

impl<'a> Call<'a> {
    pub fn from_json(headers: &'a HeaderMap, body: &[u8]) -> Result<Call<'a>, CloudFailure> {
        let parameters = match body {
            [] => Map::new(),
            body => serde_json::from_slice(body).map_err(|_| {
                CloudFailure::BadRequest("the body is not an object in JSON, in UTF-8")
            })?,
        };
        Ok(Call { headers, parameters: Parameters::Json(parameters) })
    }

    pub fn from_pairs(headers: &'a HeaderMap, pairs: &'a [QueryPair<'a>]) -> Call<'a> {
        Call { headers, parameters: Parameters::Pairs(pairs) }
    }

    pub fn action(&self) -> Result<Cow<'_, str>, CloudFailure> {
        let action = self.common(HEADER_ACTION, "Action");
        action.map(capitalized).ok_or(CloudFailure::Missing("Action"))
    }

    pub fn version(&self) -> Result<&str, CloudFailure> {
        self.common("x-tc-version", "Version").ok_or(CloudFailure::Missing("Version"))
    }

    /// A common parameter: in a header, or where version 1 has it.
    fn common(&self, header: &'static str, name: &str) -> Option<&str> {
        let in_header = text(self.headers, &HeaderName::from_static(header));
        in_header.or_else(|| match &self.parameters {
            Parameters::Json(_) => None,
            Parameters::Pairs(pairs) => {
                let found = pairs.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.as_ref())
            }
        })
    }

    /// A text; `None` if it is not given.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, CloudFailure> {
        match &self.parameters {
            Parameters::Json(object) => match object.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text)),
                Some(_) => Err(CloudFailure::BadType(name)),
            },
            Parameters::Pairs(pairs) => {
                let found = pairs.iter().find(|(known, _)| known == name);
                Ok(found.map(|(_, value)| value.as_ref()))
            }
        }
    }

    pub fn required(&self, name: &'static str) -> Result<&str, CloudFailure> {
        self.text(name)?.ok_or(CloudFailure::Missing(name))
    }

    /// A whole number; `None` if it is not given.
    pub fn number(&self, name: &'static str) -> Result<Option<i64>, CloudFailure> {
        match &self.parameters {
            Parameters::Json(object) => match object.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => value.as_i64().ok_or(CloudFailure::BadType(name)).map(Some),
            },
            Parameters::Pairs(_) => {
                let text = self.text(name)?;
                text.map(|text| text.parse().map_err(|_| CloudFailure::BadType(name))).transpose()
            }
        }
    }

    /// Texts: `["a", "b"]`, or `Name.0=a&Name.1=b`.
    pub fn texts(&self, name: &'static str) -> Result<Vec<&str>, CloudFailure> {
        let bad = || CloudFailure::BadType(name);
        match &self.parameters {
            Parameters::Json(object) => match object.get(name) {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(Value::Array(list)) => {
                    list.iter().map(|value| value.as_str().ok_or_else(bad)).collect()
                }
                Some(_) => Err(bad()),
            },
            Parameters::Pairs(pairs) => {
                let of_list = |known: &str| {
                    known.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
                };
                let items = pairs.iter().filter(|(known, _)| of_list(known));
                Ok(items.map(|(_, value)| value.as_ref()).collect())
            }
        }
    }

    /// Whole numbers: `[1, 2]`, or `Name.0=1&Name.1=2`.
    pub fn numbers(&self, name: &'static str) -> Result<Vec<i64>, CloudFailure> {
        let bad = || CloudFailure::BadType(name);
        match &self.parameters {
            Parameters::Json(object) => match object.get(name) {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(Value::Array(list)) => {
                    list.iter().map(|value| value.as_i64().ok_or_else(bad)).collect()
                }
                Some(_) => Err(bad()),
            },
            Parameters::Pairs(pairs) => {
                let of_list = |known: &str| {
                    known.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
                };
                let items = pairs.iter().filter(|(known, _)| of_list(known));
                items.map(|(_, value)| value.parse().map_err(|_| bad())).collect()
            }
        }
    }

    /// Records of whole numbers: `[{"Id": 1}, …]`, or `Name.0.Id=1&…`, whose fields are
    /// among these.
    pub fn records(
        &self,
        name: &'static str,
        fields: &[&'static str],
    ) -> Result<Vec<Record>, CloudFailure> {
        let bad = || CloudFailure::BadType(name);
        match &self.parameters {
            Parameters::Json(object) => match object.get(name) {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(Value::Array(list)) => list
                    .iter()
                    .map(|item| Record::from_json(item, fields).ok_or_else(bad))
                    .collect(),
                Some(_) => Err(bad()),
            },
            Parameters::Pairs(pairs) => {
                let mut records = BTreeMap::<u32, Record>::new();
                for (known, value) in pairs.iter() {
                    let Some(rest) = known.strip_prefix(name).and_then(|r| r.strip_prefix('.'))
                    else {
                        continue;
                    };
                    let (index, field) = rest.split_once('.').ok_or_else(bad)?;
                    let field = fields.iter().find(|known| **known == field).ok_or_else(bad)?;
                    let number = value.parse().map_err(|_| CloudFailure::BadType(field))?;
                    let record = records.entry(index.parse().map_err(|_| bad())?).or_default();
                    record.0.push((field, Some(number)));
                }
                Ok(records.into_values().collect())
            }
        }
    }

    /// Whom or what it is about, in case somebody audits it: never a document, nor a secret.
    pub fn about(&self) -> Vec<(&'static str, String)> {
        let text = |name: &'static str| match (self.text(name), self.number(name)) {
            (Ok(Some(text)), _) => Some(text.chars().take(ABOUT_CHARS_MAX).collect()),
            (_, Ok(Some(number))) => Some(number.to_string()),
            _ => None,
        };
        ABOUT.iter().filter_map(|name| Some((*name, text(name)?))).collect()
    }

    /// Whatever was given, as JSON: `[{"Name": "a"}]`, or `NAME.0.Name=a`, whose texts
    /// stay texts. `Null` if it is not given.
    pub fn tree(&self, name: &'static str) -> Result<Value, CloudFailure> {
        match &self.parameters {
            Parameters::Json(object) => Ok(object.get(name).cloned().unwrap_or_default()),
            Parameters::Pairs(pairs) => {
                let mut tree = Value::Null;
                for (known, value) in pairs.iter() {
                    let Some(rest) = known.strip_prefix(name) else { continue };
                    let steps = match rest.strip_prefix('.') {
                        Some(rest) => rest.split('.').collect::<Vec<_>>(),
                        None if rest.is_empty() => Vec::new(),
                        None => continue,
                    };
                    plant(&mut tree, &steps, value).ok_or(CloudFailure::BadType(name))?;
                }
                Ok(tree)
            }
        }
    }

    /// Refuses parameters that an action does not have: they would not be obeyed.
    pub fn refuse_unknown(&self, known: &[&str]) -> Result<(), CloudFailure> {
        let unknown = match &self.parameters {
            Parameters::Json(object) => {
                object.keys().map(String::as_str).find(|name| !known.contains(name))
            }
            Parameters::Pairs(pairs) => pairs
                .iter()
                .map(|(name, _)| name.split('.').next().unwrap_or_default())
                .find(|name| !known.contains(name) && !COMMON.contains(name)),
        };
        match unknown {
            Some(name) => Err(CloudFailure::UnknownParameter(name.to_owned())),
            None => Ok(()),
        }
    }
}

/// Deepest tree of parameters.
const STEPS_MAX: usize = 8;

/// Puts a value at its place in a tree. Items of a list come in their order.
fn plant(tree: &mut Value, steps: &[&str], value: &str) -> Option<()> {
    let Some((step, rest)) = steps.split_first().filter(|_| steps.len() <= STEPS_MAX) else {
        let is_leaf = steps.is_empty() && tree.is_null();
        *tree = Value::String(value.to_owned());
        return is_leaf.then_some(());
    };
    let below = match step.parse::<usize>() {
        Ok(index) => {
            if tree.is_null() {
                *tree = Value::Array(Vec::new());
            }
            let list = tree.as_array_mut()?;
            if index == list.len() {
                list.push(Value::Null);
            }
            list.get_mut(index)?
        }
        Err(_) => {
            if tree.is_null() {
                *tree = Value::Object(Map::new());
            }
            tree.as_object_mut()?.entry(*step).or_insert(Value::Null)
        }
    };
    plant(below, rest, value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(pairs: &[(&'static str, &'static str)]) -> Option<Value> {
        let pairs: Vec<QueryPair> =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let headers = HeaderMap::new();
        Call::from_pairs(&headers, &pairs).tree("Instances").ok()
    }

    #[test]
    fn flat_parameters_are_trees() {
        let pairs = [
            ("Instances.0.Dimensions.0.Name", "appid"),
            ("Instances.0.Dimensions.0.Value", "1250000000"),
            ("Instances.0.Dimensions.1.Name", "bucket"),
            ("InstancesAndMore.0", "x"),
        ];
        let want = json!([{ "Dimensions": [
            { "Name": "appid", "Value": "1250000000" },
            { "Name": "bucket" },
        ] }]);
        assert_eq!(tree(&pairs), Some(want));
        assert_eq!(tree(&[]), Some(Value::Null));
        for wrong in [
            [("Instances.1.Name", "x"), ("Instances.0.Name", "y")],
            [("Instances.0", "x"), ("Instances.0", "y")],
            [("Instances.0.Name", "x"), ("Instances.0.0", "y")],
            [("Instances.0.a.a.a.a.a.a.a.a.a", "x"), ("Instances.1", "y")],
        ] {
            assert_eq!(tree(&wrong), None, "{wrong:?}");
        }
    }
}
