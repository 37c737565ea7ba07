//! The pages of differences and of advisories name tests; here it is made sure that they exist.

use std::path::Path;

#[test]
fn every_difference_has_its_test() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["differences/cos", "differences/s3", "differences/cloud-api", "advisories"] {
        let page = here.join(format!("../../docs/{page}.md"));
        let text = std::fs::read_to_string(&page).expect("the page exists");
        let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
        for row in rows {
            let named: Vec<&str> = row
                .split('`')
                .filter(|piece| piece.contains("::") && !piece.contains(' '))
                .collect();
            assert!(!named.is_empty(), "no test asserts this: {row}");
            for name in named {
                let (module, test) = name.rsplit_once("::").expect("a path");
                let (file, wanted) = match (module, module.strip_prefix("body::")) {
                    (_, Some(module)) => (format!("src/body/{module}.rs"), format!("mod {test}")),
                    _ if module.starts_with("sdk::") => {
                        let file = module.replace("::", "/");
                        (format!("../../tests/{file}.py"), format!("def {test}("))
                    }
                    _ if module.starts_with("store::") || module.starts_with("identities::") => {
                        let file = module.replace("::", "/");
                        (format!("../core/tests/{file}.rs"), format!("fn {test}("))
                    }
                    ("program", _) => {
                        (format!("../server/tests/{module}.rs"), format!("fn {test}("))
                    }
                    ("corpus", _) => {
                        (format!("../fuzz-targets/tests/{module}.rs"), format!("fn {test}("))
                    }
                    ("account", _) => (format!("../core/tests/{module}.rs"), format!("fn {test}(")),
                    _ => (format!("tests/protocol/{module}.rs"), format!("fn {test}(")),
                };
                let source = std::fs::read_to_string(here.join(&file)).expect(name);
                assert!(source.contains(&wanted), "{name} in {row}");
            }
        }
    }
}
