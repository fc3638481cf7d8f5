//! Dummy programs: shell scripts that write down what happens to them.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use tempfile::TempDir;
use tokio::time::sleep;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with scripts, their logs, and a diary that they all write to.
struct Stage {
    dir: TempDir,
    family: Family,
}

impl Stage {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            family: Family::new(tempfile::tempfile().unwrap()),
        }
    }

    /// Starts a script called `name`; `$diary` is the diary.
    fn start(&mut self, part: Part, name: &str, script: &str) {
        let program = self.dir.path().join(name);
        let diary = self.dir.path().join("diary");
        let text = format!(
            "#!/bin/sh\nname={name} diary={}\n{script}\n",
            diary.display()
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        self.family
            .start(Start {
                part,
                name,
                program: &program,
                arguments: vec!["an argument".into()],
                environment: vec![("MEANT".to_owned(), "for it".to_owned())],
                log: self.dir.path().join(format!("{name}.log")),
            })
            .unwrap();
    }

    fn diary(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("diary")).unwrap_or_default()
    }

    async fn until_diary_has(&self, lines: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.diary().lines().count() < lines {
            assert!(Instant::now() < deadline, "{}", self.diary());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Says that it runs, and on SIGTERM takes a moment and says that it ends.
const OBEDIENT: &str = r#"
trap 'sleep 0.1; echo "$name ends" >> "$diary"; exit 0' TERM
echo "$name runs" >> "$diary"
while :; do sleep 0.02; done"#;

const DEAF: &str = r#"
trap '' TERM
echo "$name runs" >> "$diary"
while :; do sleep 0.02; done"#;

#[tokio::test(flavor = "current_thread")]
async fn parts_stop_one_after_the_other() {
    let mut stage = Stage::new();
    stage.start(Part::Simulators, "simulators", OBEDIENT);
    stage.start(Part::Server, "server", OBEDIENT);
    stage.start(Part::Agent, "agent-1", OBEDIENT);
    stage.start(Part::Agent, "agent-2", OBEDIENT);
    stage.until_diary_has(4).await;
    stage.family.stop(std::future::pending()).await;
    let diary = stage.diary();
    let mut ends: Vec<_> = diary
        .lines()
        .filter_map(|line| line.strip_suffix(" ends"))
        .collect();
    ends[..2].sort_unstable();
    assert_eq!(ends, ["agent-1", "agent-2", "simulators", "server"]);
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_is_in_a_hurry_does_not_wait_for_the_deaf() {
    let mut stage = Stage::new();
    stage.start(Part::Agent, "agent", DEAF);
    stage.start(Part::Server, "server", OBEDIENT);
    stage.until_diary_has(2).await;
    let begin = Instant::now();
    stage.family.stop(std::future::ready(())).await;
    assert!(begin.elapsed() < Part::Agent.patience());
    for member in &stage.family.members {
        assert!(member.exit.borrow().is_some(), "{} is gone", member.name);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_death_is_told_with_the_last_lines_and_the_log() {
    let mut stage = Stage::new();
    stage.start(Part::Server, "server", OBEDIENT);
    stage.until_diary_has(1).await;
    let mut script = String::new();
    for n in 1..=20 {
        writeln!(script, "echo line {n}").unwrap();
    }
    script.push_str("echo 'no more disk' >&2\nexit 3");
    stage.start(Part::Agent, "agent-p1", &script);
    let death = timeout(PATIENCE, stage.family.death())
        .await
        .unwrap()
        .to_string();
    assert!(
        death.starts_with("agent-p1 ended (exit status: 3). "),
        "{death}"
    );
    assert!(death.contains("\n  line 20\n  no more disk\n"), "{death}");
    assert!(!death.contains("line 9\n"), "only the last lines: {death}");
    assert!(death.ends_with("agent-p1.log"), "{death}");
}

#[tokio::test(flavor = "current_thread")]
async fn nobody_dies_while_all_is_well() {
    let mut stage = Stage::new();
    stage.start(Part::Server, "server", OBEDIENT);
    stage.until_diary_has(1).await;
    let death = timeout(Duration::from_millis(50), stage.family.death()).await;
    assert!(death.is_err(), "{death:?}");
    let nobody = timeout(
        Duration::ZERO,
        Family::new(tempfile::tempfile().unwrap()).death(),
    )
    .await;
    assert!(nobody.is_err(), "{nobody:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_child_gets_its_arguments_and_only_the_secrets_meant_for_it() {
    let mut stage = Stage::new();
    stage.start(
        Part::Agent,
        "agent",
        r#"echo "$1 $MEANT [$DATABASE_URL$LANDSIDE_DEMO_PASSWORD$LANDSIDE_AGENT_SECRET]" >> "$diary"; exec sleep 60"#,
    );
    stage.until_diary_has(1).await;
    assert_eq!(stage.diary(), "an argument for it []\n");
}

#[tokio::test(flavor = "current_thread")]
async fn the_log_of_the_run_before_is_kept() {
    let mut stage = Stage::new();
    for run in ["first", "second"] {
        stage.family = Family::new(tempfile::tempfile().unwrap());
        stage.start(Part::Agent, "agent", &format!("echo {run}"));
        timeout(PATIENCE, stage.family.death()).await.unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(stage.dir.path().join(name)).unwrap();
    assert_eq!(
        (read("agent.log"), read("agent.log.old")),
        ("second\n".into(), "first\n".into())
    );
}
