//! The command line.

mod admin;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use costrel_bench::BenchArgs;

pub use admin::{
    AdminCommand, AttachArgs, DeleteArgs, GroupCommand, KeyCommand, KeyNameArgs,
    ManagedPolicyCommand, PolicyCommand, PolicyFileArgs, RevokeArgs, RoleCommand, ServerArgs,
    UserCommand,
};

use crate::config::{ByteSize, Dialect, Given, Span};
use crate::transfer::End;

/// Object storage server that speaks Tencent Cloud COS and AWS S3.
///
/// Without a command it serves, as `costrel serve` does.
#[derive(Debug, Parser)]
#[command(name = "costrel", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve
    Serve(Box<ServeArgs>),
    /// Read everything that is stored and compare it with its checksums and
    /// references; exits with 1 if anything is wrong. No server may be using it.
    /// Takes the settings of `serve`
    Fsck(Box<ServeArgs>),
    /// Copy a whole installation to another place, or what has changed since it was
    /// copied there. No server may be using an `embedded` one; a `rados` one may be
    /// served until the last copy. Exits with 3 when another one has to follow
    Copy(Box<CopyArgs>),
    /// Lifecycle rules of a running server's buckets
    #[command(subcommand)]
    Lifecycle(LifecycleCommand),
    /// What buckets hold, as it is counted
    #[command(subcommand)]
    Usage(UsageCommand),
    /// What months cost, by the usage of buckets and a price book
    #[command(subcommand)]
    Bill(BillCommand),
    /// Delivered access logs of buckets
    #[command(subcommand)]
    Logs(LogsCommand),
    /// Users of a running server
    #[command(subcommand)]
    User(UserCommand),
    /// Groups of users
    #[command(subcommand)]
    Group(GroupCommand),
    /// Roles, which one may take on for a while
    #[command(subcommand)]
    Role(RoleCommand),
    /// Keys of users
    #[command(subcommand)]
    Key(KeyCommand),
    /// Policies, and what they say
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show the targets of events and what waits for them, as a running server knows it.
    /// Takes the settings of `serve`, to find the server's console endpoint and the master
    /// key, which shows that its operator asks
    Events(Box<EventsArgs>),
    /// Make signed links, and explain why one is refused. No server is asked
    #[command(subcommand)]
    Sign(SignCommand),
    /// Put load on a COS or S3 endpoint and measure
    Bench(Box<BenchArgs>),
    /// Print which operations of COS and S3 are implemented, as Markdown
    Coverage,
    /// Print every setting with its meaning and default, as Markdown
    Settings,
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub enum LifecycleCommand {
    /// Show what a bucket's rules would end now, without ending it: counts, bytes and
    /// the first examples. Takes the settings of `serve`, to find the server's console
    /// endpoint and the master key, which shows that its operator asks
    Preview(Box<PreviewArgs>),
}

#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// The bucket's whole name
    pub bucket: String,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum BillCommand {
    /// Show a month's bill: usage and costs of each bucket, by item. Takes the settings of
    /// `serve`, to find the server's console endpoint and the master key, which shows
    /// that its operator asks
    Show(Box<BillArgs>),
    /// Write a month's bill as CSV, a line for each charge. Takes the settings of `serve`
    Export(Box<ExportArgs>),
    /// Make a month final that was reopened, by the present usage and prices. Others close
    /// by themselves. Takes the settings of `serve`
    Close(Box<BillArgs>),
    /// Take back that a month is final, until it is closed again by hand. Takes the
    /// settings of `serve`
    Reopen(Box<BillArgs>),
    /// Print the example price book
    Prices,
}

#[derive(Debug, Args)]
pub struct BillArgs {
    /// The month, as 2026-11
    pub month: String,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The month, as 2026-11
    pub month: String,
    /// File to write; the standard output without it
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum LogsCommand {
    /// Show how often each object was requested, the most requested first. Takes the
    /// settings of `serve`, to find the server's console endpoint and the master key,
    /// which shows that its operator asks
    Top(Box<TopArgs>),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["bucket", "folder"])))]
pub struct TopArgs {
    /// The logged bucket's whole name: its logs are read where a running server delivers
    /// them
    pub bucket: Option<String>,
    /// Read logs in this folder, and in those below it, instead. No server is asked
    #[arg(long, value_name = "DIRECTORY")]
    pub folder: Option<PathBuf>,
    /// Objects to show
    #[arg(long, default_value_t = 20)]
    pub count: usize,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Show bytes, objects, noncurrent versions, uploads and parts, by storage class.
    /// Takes the settings of `serve`, to find the server's console endpoint and the
    /// master key, which shows that its operator asks
    Show(Box<UsageShowArgs>),
    /// Count every row and compare with the counters; exits with 1 if they differ. No
    /// server may be using it. Takes the settings of `serve`
    Recount(Box<RecountArgs>),
}

#[derive(Debug, Args)]
pub struct UsageShowArgs {
    /// The bucket's whole name; all buckets without it
    pub bucket: Option<String>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Args)]
pub struct RecountArgs {
    /// Let the counters say what the rows do
    #[arg(long)]
    pub correct: bool,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Args)]
pub struct PolicyExplainArgs {
    #[command(flatten)]
    pub asker: AskerArgs,
    /// Action, as policies call it: `s3:GetObject`, `name/cos:GetObject`, `iam:CreateUser`
    #[arg(long, value_name = "ACTION")]
    pub action: String,
    /// A bucket, a bucket and a key as `BUCKET/KEY`, or what policies call it; everything
    /// if not given
    #[arg(long, value_name = "RESOURCE", default_value = "*")]
    pub resource: String,
    /// Version of the object
    #[arg(long, value_name = "ID")]
    pub version_id: Option<String>,
    /// What a condition asks for, as `aws:SourceIp=10.1.2.3`; again for another value
    #[arg(long, value_name = "KEY=VALUE")]
    pub context: Vec<String>,
    /// Print it in JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// Who is supposed to ask.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct AskerArgs {
    /// A user, by his name
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Whoever has taken on this role
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// Whose permanent key this is
    #[arg(long, value_name = "ID")]
    pub key: Option<String>,
    /// Whoever brings a token of this identity provider, by its URL
    #[arg(long, value_name = "URL")]
    pub provider: Option<String>,
    /// The account's root
    #[arg(long)]
    pub root: bool,
    /// Nobody who signs
    #[arg(long)]
    pub anonymous: bool,
}

#[derive(Debug, Subcommand)]
pub enum SignCommand {
    /// Print a URL with a signature, for whoever is to use it without a key
    Url(Box<UrlArgs>),
    /// Print a form with a signature, by which browsers upload without a key: where it goes
    /// and its fields, in JSON
    Form(Box<FormArgs>),
    /// Show what a signed URL, a request signed in a header or a form says: whose it is,
    /// until when, whether it is good, and if it is not, what its signature should be of.
    /// Exits with 1 unless it is good and valid now
    Explain(Box<ExplainArgs>),
}

#[derive(Debug, Args)]
pub struct UrlArgs {
    /// The object's URL, or a bucket's, as a client would use it with a key: escaped, with
    /// the query that is to be part of it
    pub url: String,
    /// Method that the link is for
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// How long it is to be valid, e.g. 30m
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub expires: Span,
    /// Whose signature to make
    #[arg(long, value_name = "s3|cos", default_value = "s3")]
    pub dialect: Dialect,
    /// Region in S3 signatures
    #[arg(long, env = "COSTREL_REGION", default_value = "ap-guangzhou")]
    pub region: String,
    /// A header that has to be sent as given; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Vec<String>,
    #[command(flatten)]
    pub key: KeyArgs,
}

#[derive(Debug, Args)]
pub struct FormArgs {
    /// The object's URL, escaped; or that of a folder, with its `/`, or of a bucket, for an
    /// object there by the name that the file has
    pub url: String,
    /// The bucket, if its name is in a host that is none of COS or S3
    #[arg(long)]
    pub bucket: Option<String>,
    /// How long it is to be valid, e.g. 30m
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub expires: Span,
    /// The largest file that may be uploaded, e.g. 10MiB
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<ByteSize>,
    /// A field that has to be sent as given, as `acl=public-read`; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub field: Vec<String>,
    /// Print a page with the form instead
    #[arg(long)]
    pub html: bool,
    /// Whose signature to make
    #[arg(long, value_name = "s3|cos", default_value = "s3")]
    pub dialect: Dialect,
    /// Region in S3 signatures
    #[arg(long, env = "COSTREL_REGION", default_value = "ap-guangzhou")]
    pub region: String,
    #[command(flatten)]
    pub key: KeyArgs,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The URL with its signature, or the bucket's that a form goes to
    pub url: String,
    /// A form's fields but its file, in JSON: as they are printed, or alone. A file, or `-`
    #[arg(long, value_name = "FILE")]
    pub form: Option<PathBuf>,
    /// Method of the request
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// A header that is sent with it, `authorization` perhaps; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Vec<String>,
    #[command(flatten)]
    pub key: KeyArgs,
}

#[derive(Debug, Default, Args)]
pub struct KeyArgs {
    /// SecretId or access key id; AWS_ACCESS_KEY_ID is read as well
    #[arg(long, env = "COSTREL_ROOT_SECRET_ID", value_name = "ID")]
    pub access_key: Option<String>,
    /// SecretKey or secret access key; AWS_SECRET_ACCESS_KEY is read as well
    #[arg(long, env = "COSTREL_ROOT_SECRET_KEY", value_name = "SECRET", hide_env_values = true)]
    pub secret_key: Option<String>,
    /// Token of a temporary key; AWS_SESSION_TOKEN is read as well, where the key's id is
    /// read from AWS_ACCESS_KEY_ID
    #[arg(long)]
    pub token: Option<String>,
}

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// `embedded:DIRECTORY`; `rados:FILE` with the TOML file that its gateways are
    /// started with; or `rados` with the settings that are given here
    #[arg(long, value_name = "PLACE")]
    pub from: End,
    /// The same. Empty, or a copy that was not served yet
    #[arg(long, value_name = "PLACE")]
    pub to: End,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub given: Given,
}
