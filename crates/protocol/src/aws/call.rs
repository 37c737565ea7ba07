//! What a request asks for.

use std::collections::BTreeMap;

use costrel_signature::encode::QueryPair;

use super::AwsFailure;

/// Fields of records by the records' numbers.
pub(super) type Records<'a> = BTreeMap<u32, Vec<(&'a str, &'a str)>>;

/// Parameters that name somebody or something.
const ABOUT: &[&str] = &[
    "UserName",
    "GroupName",
    "RoleName",
    "PolicyName",
    "PolicyArn",
    "AccessKeyId",
    "Status",
    "NewUserName",
    "NewGroupName",
    "Path",
    "NewPath",
    "RoleArn",
    "RoleSessionName",
    "SourceIdentity",
    "Name",
    "DurationSeconds",
    "VersionId",
    "PolicySourceArn",
    "PermissionsBoundary",
    "OpenIDConnectProviderArn",
    "Url",
    "ClientID",
];

/// Of each of them, characters at most.
const ABOUT_CHARS_MAX: usize = 256;

/// The parameters of an action, as the form has them.
pub(super) struct Call<'a> {
    pairs: &'a [QueryPair<'a>],
}

impl<'a> Call<'a> {
    pub fn new(pairs: &'a [QueryPair<'a>]) -> Call<'a> {
        Call { pairs }
    }

    /// A text; `None` if it is not given.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_ref())
    }

    pub fn required(&self, name: &'static str) -> Result<&'a str, AwsFailure> {
        self.text(name).filter(|text| !text.is_empty()).ok_or(AwsFailure::Missing(name))
    }

    /// The members of a list, in the order of their numbers; none if it is not given.
    pub fn list(&self, name: &'static str) -> Result<Vec<&'a str>, AwsFailure> {
        let mut members: Vec<(usize, &'a str)> = Vec::new();
        for (known, value) in self.pairs {
            let Some(rest) = known.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            let number = rest.strip_prefix("member.").and_then(|number| number.parse().ok());
            members.push((number.ok_or(AwsFailure::BadValue(name))?, value.as_ref()));
        }
        members.sort_by_key(|(number, _)| *number);
        Ok(members.into_iter().map(|(_, value)| value).collect())
    }

    /// Tags, by their keys.
    pub fn tags(&self) -> Result<BTreeMap<String, String>, AwsFailure> {
        let mut found: BTreeMap<&str, [Option<&str>; 2]> = BTreeMap::new();
        for (known, value) in self.pairs {
            let Some(rest) = known.strip_prefix("Tags.member.") else { continue };
            let (number, part) = rest.split_once('.').ok_or(AwsFailure::BadValue("Tags"))?;
            let at = ["Key", "Value"].iter().position(|name| *name == part);
            let tag = found.entry(number).or_default();
            tag[at.ok_or(AwsFailure::BadValue("Tags"))?] = Some(value.as_ref());
        }
        let mut tags = BTreeMap::new();
        for tag in found.into_values() {
            let [Some(name), Some(value)] = tag else { return Err(AwsFailure::BadValue("Tags")) };
            if tags.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(AwsFailure::BadValue("Tags"));
            }
        }
        Ok(tags)
    }

    /// Whether something is so; `None` if it is not said.
    pub fn truth(&self, name: &'static str) -> Result<Option<bool>, AwsFailure> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(AwsFailure::BadValue(name)),
        }
    }

    /// A whole number; `None` if it is not given.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, AwsFailure> {
        let number = |text: &str| text.parse().map_err(|_| AwsFailure::BadValue(name));
        self.text(name).map(number).transpose()
    }

    /// Records of a list, by their numbers: fields by their names, `Name.member.1.Field=…`.
    pub fn records(&self, name: &'static str) -> Result<Records<'a>, AwsFailure> {
        let mut records = Records::new();
        for (known, value) in self.pairs {
            let Some(rest) = known.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            let record = rest.strip_prefix("member.").and_then(|rest| rest.split_once('.'));
            let (number, field) = record.ok_or(AwsFailure::BadValue(name))?;
            let number = number.parse().map_err(|_| AwsFailure::BadValue(name))?;
            records.entry(number).or_default().push((field, value.as_ref()));
        }
        Ok(records)
    }

    /// Whom or what it is about, in case somebody audits it: never a document, nor a secret.
    pub fn about(&self) -> Vec<(&'static str, String)> {
        let known = ABOUT.iter().filter_map(|name| Some((*name, self.text(name)?)));
        known.map(|(name, text)| (name, text.chars().take(ABOUT_CHARS_MAX).collect())).collect()
    }

    /// Refuses parameters that an action does not have: they would not be obeyed.
    pub fn refuse_unknown(&self, known: &[&str]) -> Result<(), AwsFailure> {
        let names = self.pairs.iter().map(|(name, _)| name.split('.').next().unwrap_or_default());
        let mut unknown = names.filter(|name| {
            !name.is_empty() && !matches!(*name, "Action" | "Version") && !known.contains(name)
        });
        match unknown.next() {
            Some(name) => Err(AwsFailure::UnknownParameter(name.to_owned())),
            None => Ok(()),
        }
    }
}
