//! Users, their keys, groups, roles and policies as stored.
//!
//! All rows lie in one group of the system partition, so that whatever belongs
//! together changes in one commit. Their suffixes:
//!
//! | suffix | value |
//! |---|---|
//! | `u` and a uin | [`UserRow`] |
//! | `n` and a user's name | the uin, 8 bytes, big-endian |
//! | `k` and a key's id | [`UserKeyRow`] |
//! | `p` and a policy's id | [`ManagedPolicyRow`] |
//! | `v`, a policy's id and a version's number | [`PolicyVersionRow`] |
//! | `q` and a policy's name | the id, 8 bytes, big-endian |
//! | `g` and a group's id | [`GroupRow`] |
//! | `h` and a group's name | the id, 8 bytes, big-endian |
//! | `r` and a role's id | [`RoleRow`] |
//! | `s` and a role's name | the id, 8 bytes, big-endian |
//! | `o` and an identity provider's URL without its scheme | [`ProviderRow`] |
//! | `i` and an identity provider's name in CAM | its URL without its scheme |
//!
//! Numbers in suffixes are 8 bytes, big-endian.

use bytes::Bytes;
use costrel_policy::Grammar;
use prost::Message;

use super::{Accounts, IdentityError, commit_failed};
use crate::engine::{
    Commit, CommitError, Expect, Partition, RowRef, ScanRange, Step, Table, Write,
};
use crate::error::{Error, Result};
use crate::scan;

/// No bucket has such a name.
const GROUP: &[u8] = b"identities/";

/// How often a change is decided anew when somebody else's comes between.
const ATTEMPTS: usize = 16;

/// A user as stored; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct UserRow {
    #[prost(uint64, tag = "1")]
    pub uin: u64,
    #[prost(uint64, tag = "2")]
    pub uid: u64,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub remark: String,
    #[prost(uint64, tag = "5")]
    pub created_ms: u64,
    #[prost(message, repeated, tag = "6")]
    pub keys: Vec<UserKeyEntry>,
    #[prost(message, repeated, tag = "7")]
    pub policies: Vec<AttachedPolicy>,
    #[prost(string, tag = "8")]
    pub phone: String,
    #[prost(string, tag = "9")]
    pub country_code: String,
    #[prost(string, tag = "10")]
    pub email: String,
    #[prost(message, repeated, tag = "11")]
    pub groups: Vec<Membership>,
    #[prost(message, repeated, tag = "12")]
    pub inline: Vec<InlinePolicyEntry>,
    #[prost(message, optional, tag = "13")]
    pub labels: Option<LabelsRow>,
    /// A policy that must allow whatever his others do; nothing if there is none.
    #[prost(uint64, tag = "14")]
    pub boundary: u64,
}

/// What a user's row says of a key. A key that it does not name is not his.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct UserKeyEntry {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bool, tag = "2")]
    pub disabled: bool,
    #[prost(uint64, tag = "3")]
    pub created_ms: u64,
    #[prost(string, tag = "4")]
    pub description: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct AttachedPolicy {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint64, tag = "2")]
    pub attached_ms: u64,
}

/// A group that a user is in.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Membership {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    #[prost(uint64, tag = "2")]
    pub joined_ms: u64,
}

/// A group as stored; fields are only ever added. Who is in it, the users' rows say.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GroupRow {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub remark: String,
    #[prost(uint64, tag = "4")]
    pub created_ms: u64,
    #[prost(message, repeated, tag = "5")]
    pub policies: Vec<AttachedPolicy>,
    /// How many users name it, changed by the commits that change theirs.
    #[prost(uint64, tag = "6")]
    pub members: u64,
    #[prost(message, repeated, tag = "7")]
    pub inline: Vec<InlinePolicyEntry>,
    #[prost(message, optional, tag = "8")]
    pub labels: Option<LabelsRow>,
}

/// A role as stored; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct RoleRow {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(message, optional, tag = "4")]
    pub trust: Option<RowDocument>,
    /// The longest that one may have it at a time, in seconds.
    #[prost(uint64, tag = "5")]
    pub session_s_max: u64,
    #[prost(uint64, tag = "6")]
    pub created_ms: u64,
    #[prost(uint64, tag = "7")]
    pub updated_ms: u64,
    #[prost(message, repeated, tag = "8")]
    pub policies: Vec<AttachedPolicy>,
    #[prost(message, repeated, tag = "9")]
    pub inline: Vec<InlinePolicyEntry>,
    #[prost(message, optional, tag = "10")]
    pub labels: Option<LabelsRow>,
    /// As a user's.
    #[prost(uint64, tag = "11")]
    pub boundary: u64,
}

/// A path and tags, in the row of what has them.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct LabelsRow {
    /// Empty for `/`.
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(message, repeated, tag = "2")]
    pub tags: Vec<TagRow>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct TagRow {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// An identity provider as stored; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ProviderRow {
    #[prost(string, tag = "1")]
    pub url: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub description: String,
    #[prost(string, repeated, tag = "4")]
    pub clients: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub thumbprints: Vec<String>,
    #[prost(uint64, tag = "6")]
    pub created_ms: u64,
    /// Its tags: a provider has no path.
    #[prost(message, optional, tag = "7")]
    pub labels: Option<LabelsRow>,
    /// A JWK set of the keys that alone sign its tokens, if it is not to be asked for them.
    #[prost(bytes = "bytes", tag = "8")]
    pub keys: Bytes,
}

/// A policy that its holder alone has, in his row.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct InlinePolicyEntry {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub document: Option<RowDocument>,
}

/// A policy's document as its author wrote it.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct RowDocument {
    #[prost(enumeration = "RowGrammar", tag = "1")]
    pub grammar: i32,
    #[prost(bytes = "bytes", tag = "2")]
    pub text: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum RowGrammar {
    Cam = 0,
    Iam = 1,
}

impl From<Grammar> for RowGrammar {
    fn from(grammar: Grammar) -> RowGrammar {
        match grammar {
            Grammar::Cam => RowGrammar::Cam,
            Grammar::Iam => RowGrammar::Iam,
        }
    }
}

impl RowGrammar {
    /// The grammar that a row names, if it is one that is known here.
    pub fn language(number: i32) -> Result<Grammar> {
        match RowGrammar::try_from(number) {
            Ok(RowGrammar::Cam) => Ok(Grammar::Cam),
            Ok(RowGrammar::Iam) => Ok(Grammar::Iam),
            Err(_) => Err(Error::Damaged("a policy of an unknown grammar".into())),
        }
    }
}

impl RowDocument {
    pub fn new(grammar: Grammar, text: &[u8]) -> RowDocument {
        let grammar = RowGrammar::from(grammar).into();
        RowDocument { grammar, text: Bytes::copy_from_slice(text) }
    }

    /// Its grammar, if it is one that is known here.
    pub fn language(&self) -> Result<Grammar> {
        RowGrammar::language(self.grammar)
    }
}

/// A user's key as stored; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct UserKeyRow {
    #[prost(uint64, tag = "1")]
    pub user_uin: u64,
    /// [`MasterKey::seal`](crate::secret::MasterKey::seal) as for root keys.
    #[prost(bytes = "bytes", tag = "2")]
    pub sealed_secret: Bytes,
}

/// A policy that can be attached; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ManagedPolicyRow {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub description: String,
    /// As its author wrote it.
    #[prost(bytes = "bytes", tag = "4")]
    pub document: Bytes,
    #[prost(uint64, tag = "5")]
    pub created_ms: u64,
    #[prost(uint64, tag = "6")]
    pub updated_ms: u64,
    /// Another one with every document.
    #[prost(bytes = "bytes", tag = "7")]
    pub write_id: Bytes,
    #[prost(enumeration = "RowGrammar", tag = "8")]
    pub grammar: i32,
    #[prost(message, optional, tag = "9")]
    pub labels: Option<LabelsRow>,
    /// The number of the version that `document` is, and the highest that there was;
    /// nothing if there was never another one than the first.
    #[prost(uint64, tag = "10")]
    pub default_version: u64,
    #[prost(uint64, tag = "11")]
    pub latest_version: u64,
    /// The other versions, whose documents have rows of their own.
    #[prost(message, repeated, tag = "12")]
    pub others: Vec<PolicyVersionEntry>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct PolicyVersionEntry {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
}

/// A version of a policy that does not count; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct PolicyVersionRow {
    #[prost(message, optional, tag = "1")]
    pub document: Option<RowDocument>,
}

fn row(kind: u8, name: &[u8]) -> RowRef {
    RowRef::new(Table::Installation, [&[kind], name].concat())
}

pub(super) fn user_row(uin: u64) -> RowRef {
    row(b'u', &uin.to_be_bytes())
}

pub(super) fn user_name_row(name: &str) -> RowRef {
    row(b'n', name.as_bytes())
}

pub(super) fn key_row(id: &str) -> RowRef {
    row(b'k', id.as_bytes())
}

pub(super) fn use_row(id: &str) -> RowRef {
    row(b'l', id.as_bytes())
}

pub(super) fn policy_row(id: u64) -> RowRef {
    row(b'p', &id.to_be_bytes())
}

pub(super) fn policy_version_row(id: u64, number: u64) -> RowRef {
    row(b'v', &[id.to_be_bytes(), number.to_be_bytes()].concat())
}

pub(super) fn policy_name_row(name: &str) -> RowRef {
    row(b'q', name.as_bytes())
}

pub(super) fn group_row(id: u64) -> RowRef {
    row(b'g', &id.to_be_bytes())
}

pub(super) fn group_name_row(name: &str) -> RowRef {
    row(b'h', name.as_bytes())
}

pub(super) fn role_row(id: u64) -> RowRef {
    row(b'r', &id.to_be_bytes())
}

pub(super) fn role_name_row(name: &str) -> RowRef {
    row(b's', name.as_bytes())
}

pub(super) fn provider_row(place: &str) -> RowRef {
    row(b'o', place.as_bytes())
}

pub(super) fn provider_name_row(name: &str) -> RowRef {
    row(b'i', name.as_bytes())
}

/// A change of rows of identities.
pub(super) fn commit(expects: Vec<Expect>, writes: Vec<Write>) -> Commit {
    Commit::new(Partition::System, Bytes::from_static(GROUP), expects, writes)
}

pub(super) fn put<M: Message>(row: RowRef, record: &M) -> Write {
    Write::Put(row, record.encode_to_vec().into())
}

pub(super) fn put_number(row: RowRef, number: u64) -> Write {
    Write::Put(row, Bytes::copy_from_slice(&number.to_be_bytes()))
}

pub(super) fn decode<M: Message + Default>(bytes: &Bytes) -> Result<M> {
    M::decode(bytes.clone()).map_err(|error| Error::Damaged(format!("identity row: {error}")))
}

fn number(bytes: &Bytes) -> Result<u64> {
    let bytes = bytes[..].try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| Error::Damaged("the row of a name".into()))
}

impl Accounts {
    pub(super) async fn read_identities(&self, rows: &[RowRef]) -> Result<Vec<Option<Bytes>>> {
        Ok(self.engine.index().read(Partition::System, GROUP, rows).await?)
    }

    pub(super) async fn read_identity<M: Message + Default>(
        &self,
        row: RowRef,
    ) -> Result<Option<M>> {
        let rows = self.read_identities(&[row]).await?;
        rows.into_iter().next().flatten().map(|bytes| decode(&bytes)).transpose()
    }

    /// The number that a name stands for.
    pub(super) async fn named(&self, row: RowRef) -> Result<Option<u64>> {
        let rows = self.read_identities(&[row]).await?;
        rows.into_iter().next().flatten().map(|bytes| number(&bytes)).transpose()
    }

    /// Names of a row's kind behind that one's, in order, and the numbers that they stand
    /// for.
    pub(super) async fn names_behind(
        &self,
        row: &RowRef,
        limit: usize,
    ) -> Result<Vec<(String, u64)>> {
        let (kind, mut start) = (row.suffix[0], row.suffix.to_vec());
        start.push(0);
        let mut range = ScanRange::group(Bytes::from_static(GROUP));
        range.start_suffix = match start.len() {
            // No name: behind nothing.
            2 => row.suffix.clone(),
            _ => start.into(),
        };
        let (partition, table) = (Partition::System, Table::Installation);
        let found = scan::rows(&*self.engine, partition, table, range, limit).await?;
        let of_kind = found.iter().take_while(|row| row.suffix.first() == Some(&kind));
        let named = of_kind.map(|row| {
            let name = String::from_utf8_lossy(&row.suffix[1..]).into_owned();
            Ok((name, number(&row.value)?))
        });
        named.collect()
    }

    /// Changes rows by what they are at that moment.
    pub(super) async fn change<T>(
        &self,
        rows: &[RowRef],
        decide: impl Fn(&[Option<Bytes>]) -> Result<(T, Vec<Write>), IdentityError>,
    ) -> Result<T, IdentityError> {
        for _ in 0..ATTEMPTS {
            let found = self.read_identities(rows).await?;
            let (value, writes) = decide(&found)?;
            if writes.is_empty() {
                return Ok(value);
            }
            let expect = |(row, value): (&RowRef, Option<Bytes>)| match value {
                Some(bytes) => Expect::Equals(row.clone(), bytes),
                None => Expect::Absent(row.clone()),
            };
            let expects = rows.iter().zip(found).map(expect).collect();
            let committed = self.engine.index().commit(commit(expects, writes)).await;
            // Whatever came of it, what is remembered may be of before.
            self.cache.clear();
            self.roles.clear();
            self.counted.clear();
            match committed {
                Ok(()) => return Ok(value),
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(commit_failed(error).into()),
            }
        }
        Err(Error::Internal("identities kept changing".into()).into())
    }

    /// Rows of a kind, all of them: `skip` are left out, then at most `limit` are
    /// returned, beside how many there are.
    pub(super) async fn page<M: Message + Default>(
        &self,
        kind: u8,
        mut keep: impl FnMut(&M) -> bool,
        skip: usize,
        limit: usize,
    ) -> Result<(usize, Vec<M>)> {
        let (mut count, mut page) = (0, Vec::new());
        let visit = |record| {
            if keep(&record) {
                if count >= skip && page.len() < limit {
                    page.push(record);
                }
                count += 1;
            }
            Step::Next
        };
        self.each(kind, None, visit).await?;
        Ok((count, page))
    }

    /// Rows of a kind whose suffixes are numbers, from behind one: those to keep, `limit` at
    /// most, and whether there are more of them. No row behind these is looked at.
    pub(super) async fn behind<M: Message + Default>(
        &self,
        kind: u8,
        after: Option<u64>,
        limit: usize,
        keep: impl Fn(&M) -> bool,
    ) -> Result<(Vec<M>, bool)> {
        let (mut page, mut more) = (Vec::new(), false);
        let visit = |record| {
            if !keep(&record) {
                return Step::Next;
            }
            if page.len() == limit {
                more = true;
                return Step::Stop;
            }
            page.push(record);
            Step::Next
        };
        self.each(kind, after, visit).await?;
        Ok((page, more))
    }

    /// Looks at rows of a kind in their order, from behind a number if one is given.
    async fn each<M: Message + Default>(
        &self,
        kind: u8,
        after: Option<u64>,
        mut visit: impl FnMut(M) -> Step,
    ) -> Result<()> {
        const ROWS: usize = 512;
        let mut range = ScanRange::group(Bytes::from_static(GROUP));
        range.start_suffix = match after {
            None => Bytes::copy_from_slice(&[kind]),
            Some(number) => [&[kind][..], &number.to_be_bytes(), b"\0"].concat().into(),
        };
        loop {
            let (partition, table) = (Partition::System, Table::Installation);
            let found = scan::rows(&*self.engine, partition, table, range.clone(), ROWS).await?;
            for row in &found {
                if row.suffix.first() != Some(&kind) || visit(decode(&row.value)?) == Step::Stop {
                    return Ok(());
                }
            }
            match found.last() {
                Some(last) if found.len() == ROWS => {
                    range.start_suffix = [&last.suffix[..], b"\0"].concat().into();
                }
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first stored shapes, which must open for ever.
    #[test]
    fn the_first_row_shapes_open() {
        let user = UserRow {
            uin: 100_000_000_002,
            uid: 10_000_001,
            name: "reader".into(),
            remark: "r".into(),
            created_ms: 1_700_000_000_000,
            keys: vec![UserKeyEntry {
                id: "AKIDfixture".into(),
                disabled: true,
                created_ms: 1_700_000_000_001,
                description: "d".into(),
            }],
            policies: vec![AttachedPolicy { id: 100_000_001, attached_ms: 1_700_000_000_002 }],
            phone: "1".into(),
            country_code: "86".into(),
            email: "e".into(),
            // Fields that are not in it have come later.
            ..UserRow::default()
        };
        let key =
            UserKeyRow { user_uin: 100_000_000_002, sealed_secret: Bytes::from_static(&[1, 2, 3]) };
        let policy = ManagedPolicyRow {
            id: 100_000_001,
            name: "p".into(),
            description: "d".into(),
            document: Bytes::from_static(b"{}"),
            created_ms: 1_700_000_000_000,
            updated_ms: 1_700_000_000_001,
            write_id: Bytes::from_static(&[4; 16]),
            grammar: RowGrammar::Cam.into(),
            ..ManagedPolicyRow::default()
        };
        let group = GroupRow {
            id: 100_000_003,
            name: "readers".into(),
            remark: "r".into(),
            created_ms: 1_700_000_000_000,
            policies: vec![AttachedPolicy { id: 100_000_001, attached_ms: 1_700_000_000_001 }],
            members: 2,
            ..GroupRow::default()
        };
        let member = Membership { group: 100_000_003, joined_ms: 1_700_000_000_002 };
        let bytes = |text| Bytes::from(hex::decode(text).unwrap());
        let role = RoleRow {
            id: 4_611_686_018_000_000_001,
            name: "auditor".into(),
            description: "d".into(),
            trust: Some(RowDocument::new(Grammar::Iam, b"{}")),
            session_s_max: 3600,
            created_ms: 1_700_000_000_000,
            updated_ms: 1_700_000_000_001,
            policies: vec![AttachedPolicy { id: 100_000_001, attached_ms: 1_700_000_000_001 }],
            ..RoleRow::default()
        };
        let inline = InlinePolicyEntry {
            name: "p".into(),
            document: Some(RowDocument::new(Grammar::Iam, b"{}")),
        };
        let provider = ProviderRow {
            url: "https://a.example/b".into(),
            name: "n".into(),
            description: "d".into(),
            clients: vec!["c".into()],
            thumbprints: vec!["00".into()],
            created_ms: 1_700_000_000_000,
            ..ProviderRow::default()
        };
        let tags = vec![TagRow { name: "b".into(), value: "c".into() }];
        let labels = LabelsRow { path: "/a/".into(), tags };
        assert_eq!(decode::<LabelsRow>(&bytes(LABELS_ROW)).unwrap(), labels);
        let document = Some(RowDocument::new(Grammar::Iam, b"{}"));
        let version = PolicyVersionRow { document };
        assert_eq!(decode::<PolicyVersionRow>(&bytes(POLICY_VERSION_ROW)).unwrap(), version);
        assert_eq!(decode::<ProviderRow>(&bytes(PROVIDER_ROW)).unwrap(), provider);
        assert_eq!(decode::<InlinePolicyEntry>(&bytes(INLINE)).unwrap(), inline);
        assert_eq!(decode::<RoleRow>(&bytes(ROLE_ROW)).unwrap(), role);
        assert_eq!(decode::<GroupRow>(&bytes(GROUP_ROW)).unwrap(), group);
        assert_eq!(decode::<Membership>(&bytes(MEMBERSHIP)).unwrap(), member);
        assert_eq!(decode::<UserRow>(&bytes(USER_ROW)).unwrap(), user);
        assert_eq!(decode::<UserKeyRow>(&bytes(USER_KEY_ROW)).unwrap(), key);
        assert_eq!(decode::<ManagedPolicyRow>(&bytes(POLICY_ROW)).unwrap(), policy);
    }

    const USER_ROW: &str = "0882d0dbc3f4021081ade2041a067265616465722201722880d095ffbc3132190a0b414b4944\
                            6669787475726510011881d095ffbc312201643a0c0881c2d72f1082d095ffbc314201314a02\
                            3836520165";
    const USER_KEY_ROW: &str = "0882d0dbc3f4021203010203";
    const LABELS_ROW: &str = "0a032f612f12060a0162120163";
    const POLICY_VERSION_ROW: &str = "0a06080112027b7d";
    const PROVIDER_ROW: &str =
        "0a1368747470733a2f2f612e6578616d706c652f6212016e1a01642201632a0230303080d095ffbc31";
    const INLINE: &str = "0a01701206080112027b7d";
    const ROLE_ROW: &str = "0881a89ab4feffffff3f120761756469746f721a01642206080112027b7d28901c3080d095ffbc313881d095ff\
                            bc31420c0881c2d72f1081d095ffbc31";
    const GROUP_ROW: &str = "0883c2d72f1207726561646572731a01722080d095ffbc312a0c0881c2d72f1081d095ffbc3130\
                             02";
    const MEMBERSHIP: &str = "0883c2d72f1082d095ffbc31";
    const POLICY_ROW: &str = "0881c2d72f1201701a016422027b7d2880d095ffbc313081d095ffbc313a1004040404040404\
                            040404040404040404";
}
