//! `landside-server policy check` and `check`, as a person types them.

use std::path::Path;
use std::process::Command;

use server::identity::policy::Policy;
use tempfile::TempDir;

use crate::harness::{CONFIG, access};

/// A configuration with the built-in policy as its file.
fn files(policy: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("server.toml", CONFIG);
    write("access.toml", &access());
    write("policy.toml", policy);
    directory
}

/// What the program says, and how it ends. No secrets are in its environment.
fn ask(directory: &Path, arguments: &str) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_landside-server"))
        .current_dir(directory)
        .args(arguments.split(' '))
        .args(["--config", "server.toml"])
        .env_remove("SECRET")
        .env_remove("DATABASE_URL")
        .env("REPORTS", "short")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

/// The line of the built-in policy that begins like this, the first after the role's head.
fn line(role: &str, start: &str) -> usize {
    let mut lines = Policy::DEFAULT.lines().enumerate();
    lines
        .find(|(_, line)| *line == format!("[role.{role}]"))
        .unwrap();
    lines
        .find(|(_, line)| line.trim_start().starts_with(start))
        .unwrap()
        .0
        + 1
}

#[test]
fn each_answer_says_why() {
    let directory = files(Policy::DEFAULT);
    for (question, code, words) in [
        (
            "--role operator --zones p1 --may command.normal --zone p1",
            0,
            format!(
                "allowed: operator with the zones p1 command.normal in p1\n  policy.toml, line {}: role.operator may \"command.normal\"\n",
                line("operator", "may")
            ),
        ),
        (
            "--role operator --zones p1 --may command.normal --zone p2",
            1,
            format!(
                "denied: operator with the zones p1 command.normal in p2\n  policy.toml, line {}: role.operator may \"command.normal\"; but not outside their zones\n",
                line("operator", "may")
            ),
        ),
        (
            "--role operator,program --may command.critical",
            1,
            "denied: operator, program with every zone command.critical in one of their zones\n  operator or program may not by policy.toml; technician, supervisor may\n".to_owned(),
        ),
        (
            "--role administrator --zones p1,p2 --may people.manage",
            1,
            format!(
                "denied: administrator with the zones p1, p2 people.manage\n  policy.toml, line {}: role.administrator may \"people.manage\"; but it takes every zone\n",
                line("administrator", "may")
            ),
        ),
        (
            "--subject pia --subscribe /topic/zones/*/alarms",
            1,
            format!(
                "denied: pia (operator) with the zones p1 subscribe /topic/zones/*/alarms\n  the nearest is policy.toml, line {}: role.operator subscribe \"/topic/zones/{{zone}}/alarms\"; it takes every zone\n",
                line("viewer", "\"/topic/zones")
            ),
        ),
        (
            "--subject pia --subscribe /topic/alarms",
            1,
            format!(
                "denied: pia (operator) with the zones p1 subscribe /topic/alarms\n  the nearest is policy.toml, line {}: role.operator subscribe \"/topic/alarms\" for all zones; it takes every zone\n",
                line("viewer", "{ to = \"/topic/alarms")
            ),
        ),
        (
            "--subject program-p2 --deliver /topic/devices/gate-1",
            1,
            format!(
                "denied: program-p2 (program, operator) with the zones p2 deliver /topic/devices/gate-1\n  the nearest is policy.toml, line {}: role.operator subscribe \"/topic/devices/{{device}}\"; only a running server knows where a device stands: say --zone to suppose it\n",
                line("viewer", "\"/topic/devices")
            ),
        ),
        (
            "--subject program-p2 --deliver /topic/devices/gate-1 --zone p2",
            0,
            format!(
                "allowed: program-p2 (program, operator) with the zones p2 deliver /topic/devices/gate-1\n  policy.toml, line {}: role.operator subscribe \"/topic/devices/{{device}}\"\n",
                line("viewer", "\"/topic/devices")
            ),
        ),
        (
            "--role operator --zones p1 --send /app/alarms/7/acknowledge",
            0,
            format!(
                "allowed: operator with the zones p1 send /app/alarms/7/acknowledge\n  policy.toml, line {}: role.operator send \"/app/alarms/*/acknowledge\"\n  then allowed: operator with the zones p1 alarm.acknowledge in one of their zones\n  policy.toml, line {}: role.operator may \"alarm.acknowledge\"\n",
                line("operator", "send"),
                line("operator", "may")
            ),
        ),
        (
            "--role operator --zones p1 --send /app/devices/gate-1/commands --zone p1",
            0,
            format!(
                "allowed: operator with the zones p1 send /app/devices/gate-1/commands\n  policy.toml, line {}: role.operator send \"/app/devices/*/commands\"\n  then, by the risk of the command, they may command.view, command.normal, command.emergency\n",
                line("operator", "send")
            ),
        ),
        (
            "--role operator --zones p1 --send /app/devices/gate-1/commands --zone p2",
            1,
            format!(
                "denied: operator with the zones p1 send /app/devices/gate-1/commands\n  policy.toml, line {}: role.operator send \"/app/devices/*/commands\"\n  then, by the risk of the command, one of command.view, command.normal, command.critical or command.emergency is asked: they may none of them\n",
                line("operator", "send")
            ),
        ),
        (
            "--role agent --send /topic/alarms",
            1,
            "denied: agent with every zone send /topic/alarms\n  no rule of agent is about it\n".to_owned(),
        ),
        (
            "--role viewer --subscribe /topic/zones/p1/../p2/alarms",
            1,
            "denied: viewer with every zone subscribe /topic/zones/p1/../p2/alarms\n  it is not written as destinations are: single slashes, no empty segment, . or .., nothing encoded, and wildcards (* for one segment, ** for the rest) in a SUBSCRIBE only\n".to_owned(),
        ),
        (
            "--subject nobody --may see",
            64,
            "landside-server: the access file names no \"nobody\"; whoever was added on the pages is known to the running server only: ask with --role and --zones\n".to_owned(),
        ),
        (
            "--role viewer --may see --zone p9",
            64,
            "landside-server: there is no zone p9: name one of the configuration (p1, p2), or \"*\" for all\n".to_owned(),
        ),
        (
            "--may see",
            64,
            "landside-server: of whom? Say --role (and --zones), or --subject\n".to_owned(),
        ),
    ] {
        let answer = ask(directory.path(), &format!("policy check {question}"));
        assert_eq!(answer, (code, words), "{question}");
    }
}

#[test]
fn without_a_question_everything_is_shown() {
    let directory = files(
        "[role.viewer]\nmay = [\"see\"]\nsubscribe = [\"/topic/zones/{zone}/alarms\", { to = \"/topic/alarms\", zones = \"all\" }]\n",
    );
    let (code, table) = ask(directory.path(), "policy check");
    assert_eq!(code, 0);
    let rows: Vec<&str> = table.lines().collect();
    assert!(
        rows[2].trim_start().starts_with("viewer      operator"),
        "{table}"
    );
    let see = ["see", "line 2", "-", "-", "-", "-", "-", "-", "-"].map(str::to_owned);
    let words = |row: &str| {
        row.replace("line ", "line_")
            .split_whitespace()
            .map(|word| word.replace('_', " "))
            .collect::<Vec<_>>()
    };
    assert_eq!(words(rows[3]), see);
    assert_eq!(rows.iter().filter(|row| row.contains("line ")).count(), 1);
    let end = "\na second factor is never asked for\nwithout any rights, since policy.toml does not name them: operator, technician, supervisor, administrator, agent, device, program\nnobody may people.manage, so a server that runs does not take this file\n";
    assert!(table.ends_with(end), "{table}");
    let (code, list) = ask(directory.path(), "policy check --role viewer --zones p1");
    let expected = "viewer with the zones p1 may, by policy.toml:\n  see                line 2, role.viewer\nsend:\nsubscribe:\n  \"/topic/zones/{zone}/alarms\"  line 3, role.viewer\ndeliver:\n  as subscribe of role.viewer\n";
    assert_eq!((code, list.as_str()), (0, expected));
}

#[test]
fn a_wrong_policy_file_is_told_by_both_checks() {
    let directory = files("[role.viewer]\nmay = [\"see\"]\nsend = [\"/topic/**\"]\n");
    let (code, wrong) = ask(directory.path(), "policy check");
    assert_eq!(code, 64);
    assert_eq!(
        wrong,
        "landside-server: policy.toml: line 3: role.viewer.send \"/topic/**\": nobody may SEND there, what topics tell comes from the server only; grant destinations below /app, /queue or /reply-queue\n"
    );
    // `check` needs the secrets too, which the access file names.
    std::fs::write(directory.path().join("access.toml"), "# nobody").unwrap();
    let (code, same) = ask(directory.path(), "check");
    assert_eq!((code, same), (64, wrong));
    let managed = "[role.administrator]\nmay = [\"people.manage\"]\n";
    std::fs::write(directory.path().join("policy.toml"), managed).unwrap();
    let (code, good) = ask(directory.path(), "check");
    assert_eq!(code, 0);
    assert!(
        good.starts_with("server.toml is good\nwithout any rights, since policy.toml"),
        "{good}"
    );
    assert!(
        good.contains("not compared with the people in the database: it does not run"),
        "{good}"
    );
}

#[test]
fn what_a_server_that_runs_would_refuse_is_not_good() {
    let client = "[[client]]\nid = \"reports\"\nroles = [\"program\"]\nzones = [\"*\"]\nsecret_env = \"REPORTS\"\n";
    for (file, text, command, code, words) in [
        (
            "access.toml",
            " \n",
            "check",
            64,
            "access.toml: it is empty, which would shut everybody out",
        ),
        ("policy.toml", "", "check", 64, "policy.toml: it is empty"),
        (
            "policy.toml",
            "",
            "policy check",
            64,
            "policy.toml: it is empty",
        ),
        (
            "policy.toml",
            "[role.viewer]\nmay = [\"see\"]\n",
            "check",
            64,
            "nobody who may do people.manage",
        ),
        (
            "access.toml",
            &client.replace("REPORTS", "NOT_THERE"),
            "check",
            64,
            "start the server again",
        ),
        (
            "access.toml",
            client,
            "check",
            0,
            "the secret of reports can be guessed",
        ),
    ] {
        let directory = files(Policy::DEFAULT);
        std::fs::write(directory.path().join("access.toml"), "# nobody").unwrap();
        std::fs::write(directory.path().join(file), text).unwrap();
        let (got, said) = ask(directory.path(), command);
        assert_eq!(got, code, "{file} {text:?}: {said}");
        assert!(said.contains(words), "{file} {text:?}: {said}");
    }
}

#[test]
fn what_no_client_would_take_is_not_good() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    let served = |is_ca: IsCa, ends: i32| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.not_after = rcgen::date_time_ymd(ends, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let good = served(IsCa::ExplicitNoCa, 2090);
    let authority = served(IsCa::Ca(BasicConstraints::Unconstrained), 2090);
    let old = served(IsCa::ExplicitNoCa, 2001);
    let http = |url: &str| format!("[http]\npublic_url = \"{url}\"\n");
    let right = http("https://localhost");
    for (pair, more, code, words) in [
        (&good, right.clone(), 0, "server.toml is good\n"),
        (
            &good,
            format!(
                "{right}listen = \"127.0.0.1:7000\"\n[stomp]\nlisten = \"0.0.0.0:7000\"\nwithout_tls = \"passwords and tokens may be read on this network\""
            ),
            64,
            "where http.listen listens: give each its own port",
        ),
        (
            &authority,
            right.clone(),
            64,
            "one of an authority, which agents refuse",
        ),
        (&old, right.clone(), 64, "so clients refuse it now"),
        (
            &good,
            format!(
                "{right}[provider]\nissuer = \"https://id.example\"\nclient_id = \"a\"\nname = {{ ko = \"a\", en = \"a\" }}\nca_file = \"missing.pem\"\n[provider.roles]\na = \"viewer\"\n[provider.zones]\na = [\"*\"]"
            ),
            64,
            "provider.ca_file: cannot read",
        ),
        (
            &good,
            http("https://landside.example"),
            0,
            "it does not have the name landside.example of public_url",
        ),
        (
            &good,
            http("http://localhost"),
            0,
            "public_url begins with http://",
        ),
        (
            &good,
            right.clone(),
            0,
            "everybody on this machine may read the key",
        ),
        (
            &good,
            format!("{right}proxies = [\"10.0.0.0/8\"]"),
            64,
            "write each address by itself",
        ),
        (
            &good,
            format!("{right}[identity]\nconsoles = [\"localhost\"]"),
            64,
            "\"localhost\" is no address",
        ),
    ] {
        let directory = files(Policy::DEFAULT);
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
        write("access.toml", "# nobody").unwrap();
        write("cert.pem", &pair.0).unwrap();
        write("key.pem", &pair.1).unwrap();
        let tls = "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
        write("server.toml", &format!("{CONFIG}{tls}{more}\n")).unwrap();
        let (got, said) = ask(directory.path(), "check");
        assert_eq!(got, code, "{more}: {said}");
        assert!(said.contains(words), "{more}: {said}");
    }
}

#[test]
fn a_send_that_gets_in_and_is_refused_then_is_denied() {
    let directory = files(&Policy::DEFAULT.replace("\"alarm.acknowledge\", ", ""));
    let question = "policy check --role operator --zones p1 --send /app/alarms/7/acknowledge";
    let (code, said) = ask(directory.path(), question);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.starts_with("denied: ")
            && said.contains("then denied: operator with the zones p1 alarm.acknowledge"),
        "{said}"
    );
}
