//! What the audit stores, in words: the names of actions and what came of them are stored in English, since programs search
//! for them. What is not known here is shown as it is stored. Pure.

use contract::Language;

/// As it is stored, in Korean, in English.
type Terms = [(&'static str, &'static str, &'static str)];

const ACTIONS: &Terms = &[
    ("access.change", "접근 파일 변경", "access file changed"),
    ("access.refuse", "접근 파일 거부", "access file refused"),
    ("alarm.acknowledge", "경보 확인", "acknowledging an alarm"),
    (
        "audit.export",
        "감사 기록 내려받기",
        "downloading the audit",
    ),
    (
        "audit.exports",
        "감사 기록 내려받기 집계",
        "downloads of the audit, summed",
    ),
    ("audit.journal", "비상 기록 반영", "journal brought in"),
    ("audit.read", "감사 기록 조회", "reading the audit"),
    ("command.give", "명령", "command"),
    ("device.approve", "장치 승인", "approving a device"),
    ("grant.begin", "프로그램 연결 허용", "application allowed"),
    ("grant.code", "프로그램 연결", "application connected"),
    ("grant.code-replay", "연결 코드 재사용", "code used twice"),
    (
        "grant.deny",
        "프로그램 연결 거부",
        "application not allowed",
    ),
    ("grant.end", "프로그램 연결 종료", "application ended"),
    (
        "grant.replay",
        "갱신 토큰 재사용",
        "refresh token used twice",
    ),
    ("invitation.accept", "초대 수락", "invitation accepted"),
    ("key.remove", "서명 키 제거", "signing key removed"),
    ("key.rotate", "서명 키 교체", "signing key rotated"),
    ("login.begin", "로그인", "sign-in"),
    (
        "login.emergency_while_locked",
        "잠긴 화면의 비상 명령",
        "emergency command while locked",
    ),
    ("login.end", "로그인 종료", "login ended"),
    (
        "login.failures",
        "로그인 실패 집계",
        "failed sign-ins, summed",
    ),
    (
        "login.refused_while_locked",
        "잠긴 화면에서 거부",
        "refused while locked",
    ),
    ("login.second_factor", "2단계 인증", "second factor shown"),
    ("login.unlock", "조작 잠금 해제", "controls unlocked"),
    ("message.send", "메시지 전송 시도", "sending a message"),
    ("message.subscribe", "메시지 구독", "subscription"),
    ("passcode.begin", "암호 접속", "connected by passcode"),
    (
        "passcode.failures",
        "암호 접속 실패 집계",
        "failed passcodes, summed",
    ),
    ("people.manage", "사용자 관리", "managing people"),
    ("person.create", "사용자 생성", "person made"),
    ("person.disable", "사용 중지", "person disabled"),
    ("person.enable", "사용 재개", "person enabled"),
    ("person.end_logins", "로그인 모두 종료", "all logins ended"),
    ("person.invite", "초대", "person invited"),
    ("person.link", "새 링크", "new link"),
    ("person.password", "비밀번호 변경", "password changed"),
    (
        "person.recovery_codes",
        "복구 코드 교체",
        "new recovery codes",
    ),
    ("person.rights", "권한 변경", "rights changed"),
    ("person.second_factor", "인증 앱 연결", "app connected"),
    (
        "person.second_factor_offer",
        "인증 앱 연결 시작",
        "app offered",
    ),
    ("person.withdraw", "초대 취소", "invitation withdrawn"),
    ("plate.reveal", "차량 번호 조회", "showing a number plate"),
    ("policy.change", "정책 변경", "policy changed"),
    ("policy.refuse", "정책 거부", "policy refused"),
    ("refusals", "거부 집계", "refusals, summed"),
    ("token.call-back", "토큰 회수", "tokens called back"),
    ("token.external", "외부 토큰 사용", "external token used"),
    (
        "token.external_failures",
        "외부 토큰 거부 집계",
        "refused external tokens, summed",
    ),
    (
        "token.failures",
        "토큰 요청 실패 집계",
        "failed token requests, summed",
    ),
    ("token.issue", "토큰 발급", "token issued"),
    (
        "token.revoke",
        "토큰 반납·회수",
        "giving or calling back tokens",
    ),
];

/// A `{}` stands for what varies.
const OUTCOMES: &Terms = &[
    ("done", "완료", "done"),
    (
        "second factor asked",
        "2단계 인증 요청",
        "second factor asked",
    ),
    ("refused", "거부됨", "refused"),
    ("disabled", "사용 중지된 사용자", "disabled"),
    ("wrong code", "틀린 코드", "wrong code"),
    (
        "wrong name or password",
        "틀린 사용자 이름 또는 비밀번호",
        "wrong name or password",
    ),
    (
        "wrong or too many",
        "틀리거나 너무 많음",
        "wrong or too many",
    ),
    (
        "wrong client id or secret",
        "틀린 프로그램 ID 또는 비밀 값",
        "wrong client id or secret",
    ),
    (
        "wrong login or passcode",
        "틀린 이름 또는 암호",
        "wrong login or passcode",
    ),
    ("the name is taken", "이미 쓰이는 이름", "the name is taken"),
    ("locked", "조작 잠김", "locked"),
    ("not-permitted", "권한 없음", "not permitted"),
    (
        "second-factor-needed",
        "2단계 인증 필요",
        "second factor needed",
    ),
    ("code-wrong", "틀린 코드", "wrong code"),
    ("no-second-factor", "2단계 인증 없음", "no second factor"),
    ("try-later", "너무 많은 시도", "too many attempts"),
    ("too-many", "너무 많음", "too many"),
    ("wrong-password", "틀린 비밀번호", "wrong password"),
    (
        "kept-by-file",
        "접근 파일에서 관리",
        "kept by the access file",
    ),
    (
        "you may not do this here",
        "권한 없음",
        "you may not do this here",
    ),
    (
        "you may not acknowledge alarms of the zone {}",
        "{} 구역의 경보를 확인할 권한 없음",
        "you may not acknowledge alarms of the zone {}",
    ),
    (
        "you may not give the command {}",
        "명령 권한 없음: {}",
        "you may not give the command {}",
    ),
    (
        "the device takes no command {}",
        "장치에 없는 명령: {}",
        "the device takes no command {}",
    ),
    (
        "acknowledging takes your second factor: {}",
        "2단계 인증 필요",
        "second factor needed",
    ),
    (
        "the command {} needs your second factor: {}",
        "2단계 인증 필요",
        "second factor needed",
    ),
    (
        "this takes your second factor: {}",
        "2단계 인증 필요",
        "second factor needed",
    ),
    (
        "you gave too many commands: {}",
        "너무 많은 명령",
        "too many commands",
    ),
    (
        "you acknowledged too many alarms: {}",
        "너무 많은 확인",
        "too many acknowledgements",
    ),
    (
        "there is no device {} that you may see",
        "볼 수 있는 장치가 아님: {}",
        "there is no device {} that you may see",
    ),
    ("you may not {}", "권한 없음: {}", "you may not {}"),
    (
        "there is no such device that they may see",
        "볼 수 있는 장치가 아님",
        "there is no such device that they may see",
    ),
    (
        "there is no open alarm with the number {}: it may have been acknowledged and ended meanwhile",
        "열려 있는 경보가 아님: {}",
        "there is no open alarm with the number {}: it may have been acknowledged and ended meanwhile",
    ),
    (
        "a token of the identity provider that is not accepted",
        "받아들이지 않는 외부 토큰",
        "a token of the identity provider that is not accepted",
    ),
    (
        "a line of the journal could not be read",
        "읽을 수 없는 비상 기록",
        "a line of the journal could not be read",
    ),
];

/// What is not somebody's name, and no address.
const ORIGINS: &Terms = &[
    ("(server)", "(서버)", "(server)"),
    ("(command line)", "(명령줄)", "(command line)"),
    ("file", "파일", "file"),
    ("access file", "접근 파일", "access file"),
    ("policy file", "정책 파일", "policy file"),
];

/// The members of a detail, and the words that stand in them.
const DETAILS: &Terms = &[
    ("addresses", "주소 수", "addresses"),
    ("alarm", "경보", "alarm"),
    ("at", "일시", "at"),
    ("attempts", "시도", "attempts"),
    ("before", "이전", "before"),
    ("change", "변경", "change"),
    ("command", "명령", "command"),
    ("ended", "종료됨", "ended"),
    ("filter", "조건", "filter"),
    ("from", "접속 주소", "from"),
    ("from.roles", "이전 역할", "roles before"),
    ("from.zones", "이전 구역", "zones before"),
    ("to.roles", "새 역할", "roles now"),
    ("to.zones", "새 구역", "zones now"),
    ("new_secret", "비밀 값 변경", "new secret"),
    ("true", "예", "yes"),
    ("false", "아니요", "no"),
    ("grant", "연결", "grant"),
    ("issuer", "발급자", "issuer"),
    ("journaled", "비상 기록", "journaled"),
    ("key", "값", "key"),
    ("kind", "종류", "kind"),
    ("login", "로그인", "login"),
    ("logins", "로그인 수", "logins"),
    ("name", "이름", "name"),
    ("new", "새 값", "new"),
    ("occurrence", "발생 순번", "occurrence"),
    ("old", "이전 값", "old"),
    ("params", "매개변수", "parameters"),
    ("record", "기록 번호", "record number"),
    ("refused", "거부", "refused"),
    ("replaced_by", "새로 로그인한 사용자", "signed in instead"),
    ("role", "역할", "role"),
    ("roles", "역할", "roles"),
    ("shown", "표시됨", "shown"),
    ("state", "상태", "state"),
    ("zones", "구역", "zones"),
    ("added", "추가", "added"),
    ("raised", "권한 상승", "raised"),
    ("lowered", "권한 축소", "lowered"),
    ("changed", "변경", "changed"),
    ("removed", "제거", "removed"),
    ("subject", "사용자", "subject"),
    ("token", "토큰", "token"),
    ("current", "현재 키", "current"),
    ("next", "다음 키", "next"),
    ("retired", "이전 키", "retired"),
];

fn find(terms: &Terms, stored: &str, language: Language) -> Option<&'static str> {
    let (_, ko, en) = terms.iter().find(|(known, ..)| *known == stored)?;
    Some(match language {
        Language::Ko => ko,
        Language::En => en,
    })
}

/// What this action is called.
pub(crate) fn action(stored: &str, language: Language) -> Option<&'static str> {
    find(ACTIONS, stored, language)
}

/// Who or where this is, if it is nobody and no address.
pub(crate) fn origin(stored: &str, language: Language) -> Option<&'static str> {
    find(ORIGINS, stored, language)
}

/// What a member of a detail, or a word in one, is called.
pub(crate) fn detail(stored: &str, language: Language) -> Option<&'static str> {
    find(DETAILS, stored, language)
}

/// What came of something.
pub(crate) fn outcome(stored: &str, language: Language) -> Option<String> {
    OUTCOMES.iter().find_map(|(pattern, ..)| {
        let varies = varying(pattern, stored)?;
        let sentence = find(OUTCOMES, pattern, language)?;
        Some(sentence.replacen("{}", varies, 1))
    })
}

/// What stands in the last place of a pattern, if the text is like it.
fn varying<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
    let mut parts = pattern.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let (mut varies, mut has_place) = ("", false);
    for part in parts {
        has_place = true;
        let at = if part.is_empty() {
            rest.len()
        } else {
            rest.find(part)?
        };
        varies = rest.get(..at)?;
        rest = rest.get(at + part.len()..)?;
    }
    (rest.is_empty() && has_place == pattern.contains("{}")).then_some(varies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_stands_once_and_in_its_language() {
        let is_hangul = |letter: char| ('가'..='힣').contains(&letter);
        for terms in [ACTIONS, OUTCOMES, ORIGINS, DETAILS] {
            for (place, (stored, ko, en)) in terms.iter().enumerate() {
                assert!(
                    ko.contains(is_hangul) && !en.contains(is_hangul),
                    "{stored}"
                );
                assert!(!en.is_empty(), "{stored}");
                let first = terms.iter().position(|(known, ..)| known == stored);
                assert_eq!(first, Some(place), "{stored} stands twice");
            }
        }
    }

    /// Rows of what was refused stand under the right that was missing: its word says no deed.
    #[test]
    fn what_can_be_refused_is_called_as_what_was_tried() {
        for (right, en) in [
            ("alarm.acknowledge", "acknowledging an alarm"),
            ("message.send", "sending a message"),
            ("people.manage", "managing people"),
            ("plate.reveal", "showing a number plate"),
            ("token.revoke", "giving or calling back tokens"),
        ] {
            assert_eq!(action(right, Language::En), Some(en));
        }
    }

    #[test]
    fn what_varies_in_an_outcome_is_kept() {
        for (stored, ko) in [
            ("done", Some("완료")),
            (
                "you may not acknowledge alarms of the zone p1",
                Some("p1 구역의 경보를 확인할 권한 없음"),
            ),
            (
                "the command \"open\" needs your second factor: show it",
                Some("2단계 인증 필요"),
            ),
            (
                "you may not call back ada's",
                Some("권한 없음: call back ada's"),
            ),
            (
                "there is no such device that they may see",
                Some("볼 수 있는 장치가 아님"),
            ),
            (
                "there is no open alarm with the number 7: it may have been acknowledged and ended meanwhile",
                Some("열려 있는 경보가 아님: 7"),
            ),
            (
                "a token of the identity provider that is not accepted",
                Some("받아들이지 않는 외부 토큰"),
            ),
            (
                "a line of the journal could not be read",
                Some("읽을 수 없는 비상 기록"),
            ),
            ("done, nearly", None),
            ("policy.toml, line 7: no such role", None),
        ] {
            assert_eq!(outcome(stored, Language::Ko).as_deref(), ko, "{stored}");
        }
    }
}
