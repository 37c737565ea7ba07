//! What a start prints to the standard output: where the server is reached and,
//! the first time, the root key with lines to paste.

use std::fmt::Write;

use costrel_core::account::{Account, FirstStart};

/// Facts of a start.
pub struct Start<'a> {
    /// `http://127.0.0.1:9000`.
    pub endpoint: &'a str,
    /// The second endpoint, if there is one.
    pub tls_endpoint: Option<&'a str>,
    pub console: &'a str,
    /// Where the data are.
    pub data: &'a str,
    pub region: &'a str,
    pub account: &'a Account,
}

/// The whole text, ending with a newline.
pub fn text(start: &Start<'_>, first: Option<&FirstStart>) -> String {
    let mut text = format!("Costrel {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    line("Endpoint", &format_args!("{}  (COS and S3)", start.endpoint));
    if let Some(endpoint) = start.tls_endpoint {
        line("Endpoint", &format_args!("{endpoint}  (COS and S3)"));
    }
    line("Console", &format_args!("{}  (/healthz, /readyz, /metrics)", start.console));
    line("Data", &start.data);
    line("Region", &start.region);
    line("Owner uin", &start.account.uin);
    line("APPID", &start.account.appid);
    if let Some(first) = first {
        key_and_examples(&mut text, start, first);
    }
    text
}

fn key_and_examples(text: &mut String, start: &Start<'_>, first: &FirstStart) {
    let (id, secret) = (first.root_key.id(), first.root_key.secret().expose());
    let (endpoint, region, appid) = (start.endpoint, start.region, start.account.appid);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "
A root key was made. Its secret is shown this once; keep it safe.

  SecretId   {id}
  SecretKey  {secret}

aws CLI:

  export AWS_ACCESS_KEY_ID={id}
  export AWS_SECRET_ACCESS_KEY={secret}
  export AWS_DEFAULT_REGION={region}
  export AWS_ENDPOINT_URL={endpoint}
  aws s3 mb s3://photos-{appid}

boto3:

  import boto3
  s3 = boto3.client(\"s3\", endpoint_url=\"{endpoint}\", region_name=\"{region}\",
                    aws_access_key_id=\"{id}\",
                    aws_secret_access_key=\"{secret}\")
  print(s3.list_buckets()[\"Buckets\"])
"
    );
    if !endpoint.starts_with("http://") {
        text.push_str(
            "\nCOS clients put the bucket into the host name: give the server a domain by the\n\
             setting `domains`, and the clients `Endpoint=DOMAIN`.\n",
        );
        return;
    }
    let _ = write!(
        text,
        "
cos-python-sdk-v5 (the server as proxy stands for the COS host names):

  from qcloud_cos import CosConfig, CosS3Client
  cos = CosS3Client(CosConfig(Region=\"{region}\", Scheme=\"http\",
                              Proxies={{\"http\": \"{endpoint}\"}},
                              SecretId=\"{id}\",
                              SecretKey=\"{secret}\"))
  print(cos.list_buckets())

coscmd:

  coscmd config -a {id} -s {secret} \\
                -b docs-{appid} -r {region} --do-not-use-ssl
  http_proxy={endpoint} coscmd createbucket
  http_proxy={endpoint} coscmd list
"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_start_prints_no_key() {
        let account =
            Account { uin: "100000000001".parse().unwrap(), appid: "1250000000".parse().unwrap() };
        let start = Start {
            endpoint: "http://127.0.0.1:9000",
            tls_endpoint: None,
            console: "http://127.0.0.1:9001",
            data: "./costrel-data",
            region: "ap-guangzhou",
            account: &account,
        };
        assert_eq!(
            text(&start, None),
            format!(
                "Costrel {}\n\
                 \x20 Endpoint   http://127.0.0.1:9000  (COS and S3)\n\
                 \x20 Console    http://127.0.0.1:9001  (/healthz, /readyz, /metrics)\n\
                 \x20 Data       ./costrel-data\n\
                 \x20 Region     ap-guangzhou\n\
                 \x20 Owner uin  100000000001\n\
                 \x20 APPID      1250000000\n",
                env!("CARGO_PKG_VERSION")
            )
        );
    }
}
