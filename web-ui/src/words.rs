//! Every text of the pages, in every language, as whole sentences.
//!
//! A sentence is never put together from fragments: Korean particles depend on the word before them. What varies
//! stands as `{name}` and is put in by [`fill`]. The macro makes a missing translation a compile error. Pure.

use contract::alarm::{AlarmState, Priority};
use contract::command::{CommandState, ReasonCode};
use contract::device::Condition;
use contract::{Language, Quality, Role};

macro_rules! words {
    ($($key:ident: $ko:literal, $en:literal;)*) => {
        /// One language's texts.
        #[derive(Debug)]
        pub(crate) struct Words {
            $(pub(crate) $key: &'static str,)*
        }

        static KO: Words = Words { $($key: $ko,)* };
        static EN: Words = Words { $($key: $en,)* };

        #[cfg(test)]
        const TABLE: &[(&str, &str, &str)] = &[$((stringify!($key), $ko, $en),)*];
    };
}

words! {
    // The frame of every page.
    product: "랜드사이드", "Landside";
    tagline: "공항 랜드사이드 설비 관제", "Airport landside equipment control";
    overview: "현황", "Overview";
    alarms: "경보", "Alarms";
    main_navigation: "주 메뉴", "Main menu";
    skip_to_content: "본문으로 건너뛰기", "Skip to the content";
    sign_out: "로그아웃", "Sign out";
    language: "언어", "Language";
    language_ko: "한국어", "한국어";
    language_en: "English", "English";
    server_clock: "서버 시각", "Server clock";
    version: "버전 {version}", "version {version}";
    as_of: "{time} 기준 화면입니다.", "What you see is from {time}.";
    refreshes_itself: "스크립트가 꺼져 있어 이 화면은 {seconds}초마다 다시 불러옵니다. {time} 기준 화면입니다.", "Scripts are off: this page loads again every {seconds} s. What you see is from {time}.";

    // The connection, and what the script says about it.
    connection_live: "실시간", "Live";
    connection_connecting: "연결 중", "Connecting";
    connection_lost: "연결 끊김", "Connection lost";
    via_websocket: "웹소켓", "WebSocket";
    via_streaming: "HTTP 스트리밍", "HTTP streaming";
    via_polling: "HTTP 폴링", "HTTP polling";
    about_websocket: "모든 변화가 웹소켓 연결 하나로 즉시 도착합니다.", "Every change arrives at once, over one WebSocket.";
    about_streaming: "이 브라우저와 서버 사이에서 웹소켓을 쓸 수 없어, 모든 변화가 긴 HTTP 응답 하나로 즉시 도착합니다.", "Every change arrives at once, over one long HTTP answer: no WebSocket gets through between this browser and the server.";
    about_polling: "이 브라우저와 서버 사이에서 웹소켓과 HTTP 스트리밍을 쓸 수 없어, HTTP 요청을 되풀이해 받습니다. 빠지는 변화는 없습니다.", "Changes are fetched by one HTTP request after another: neither a WebSocket nor streaming gets through between this browser and the server. Nothing is left out.";
    connection_lost_sentence: "서버와 연결이 끊겼습니다. {time} 기준 화면이며 그 뒤의 변화는 보이지 않습니다. 다시 연결하는 중입니다.", "The connection to the server is lost. What you see is from {time}; later changes do not show. Reconnecting.";
    connection_back_sentence: "다시 연결되었습니다. 화면이 최신 상태입니다.", "Connected again. The page is up to date.";
    clock_wrong: "이 컴퓨터의 시계가 서버와 {seconds}초 다릅니다. 화면의 시각은 모두 서버 기준입니다.", "The clock of this computer is {seconds} s off. All times on the page are the server's.";
    outcome_unsure: "서버의 응답이 오지 않아 처리 여부를 알 수 없습니다. 목록에서 결과를 확인하십시오.", "The server did not answer in time, so it may or may not have taken it. See the list for what became of it.";
    sending: "보내는 중…", "Sending…";
    not_recording: "데이터베이스를 사용할 수 없어 기록되지 않고 있습니다. 경보는 계속 표시되고, 비상 명령 외의 명령은 거부됩니다.", "The database is away: nothing is being recorded. Alarms still show; commands other than emergency ones are refused.";

    // Ages.
    age_seconds: "{n}초 전", "{n} s ago";
    age_minutes: "{n}분 전", "{n} min ago";
    age_hours: "{n}시간 전", "{n} h ago";
    age_days: "{n}일 전", "{n} d ago";
    never: "없음", "Never";
    now: "현재", "now";
    confirmed_until: "적어도 {time}까지 확인됨", "Confirmed until {time} at least";
    last_seen: "마지막 수신 {time}", "Last seen {time}";

    // Signing in.
    sign_in: "로그인", "Sign in";
    user_name: "사용자 이름", "User name";
    password: "비밀번호", "Password";
    sign_in_wrong: "사용자 이름 또는 비밀번호가 맞지 않습니다.", "The user name or the password is wrong.";
    sign_in_locked: "로그인 시도가 너무 많았습니다. {time} 이후에 다시 시도하십시오.", "Too many attempts to sign in. Try again after {time}.";
    sign_in_ended: "로그인이 종료되었습니다. 다른 로그인에서 종료했거나, 비밀번호가 변경되었거나, 관리자가 종료했습니다. 다시 로그인하십시오.", "Your login was ended: by you elsewhere, by a new password, or by an administrator. Sign in again.";
    sign_in_expired: "로그인이 만료되었습니다. 다시 로그인하십시오.", "Your login has expired. Sign in again.";
    sign_in_disabled: "사용이 중지된 계정입니다. 관리자에게 문의하십시오.", "Your account is disabled. Ask an administrator.";
    sign_in_elsewhere: "이 페이지는 다른 주소로 열렸습니다. {address} 을(를) 열어 로그인하십시오.", "This page was reached at another address than the server's. Open {address} and sign in there.";
    sign_in_signed_out: "로그아웃되었습니다.", "You are signed out.";
    sign_in_provider_away: "외부 로그인 서비스가 응답하지 않거나 응답이 올바르지 않습니다. 이 서버의 계정으로 로그인하거나 잠시 후 다시 시도하고, 계속되면 관리자에게 알리십시오.", "The external sign-in service does not answer, or not as it should. Sign in with an account of this server, or try again in a moment; if it stays so, tell your administrator.";
    sign_in_provider_refused: "외부 로그인이 취소되었거나 거부되었습니다.", "The external sign-in was cancelled or refused.";
    sign_in_provider_again: "외부 로그인을 이 브라우저에서 확인할 수 없습니다. 처음부터 다시 시작하십시오.", "The external sign-in cannot be matched with this browser. Start again.";
    sign_in_provider_unbelievable: "외부 로그인 서비스의 응답을 받아들일 수 없습니다. 관리자에게 알리십시오.", "The answer of the external sign-in service is not accepted. Tell your administrator.";
    sign_in_provider_no_role: "외부 계정은 확인되었으나 이 시스템의 역할이나 구역이 주어지지 않았습니다. 관리자에게 요청하십시오.", "Your external account is good, but it has no role or no zone here. Ask your administrator for one.";
    sign_in_provider_name_taken: "외부 계정의 이름을 여기서 쓸 수 없거나 이 서버의 다른 계정이 쓰고 있거나 썼던 이름입니다. 외부 로그인 서비스의 이름을 바꾸어 달라고 관리자에게 요청하십시오.", "The name of your external account cannot be used here, or is or was somebody else's. Ask your administrator for another name at the external service.";
    sign_in_provider_disabled: "이 시스템에서 사용이 중지된 계정입니다. 관리자에게 문의하십시오.", "Your account is disabled here. Ask your administrator.";
    sign_in_unavailable: "지금은 로그인을 확인할 수 없습니다. 잠시 후 다시 시도하십시오.", "Logins cannot be checked just now. Try again in a moment.";

    // Applications that ask to act for somebody.
    authorize: "애플리케이션 연결", "Connect an application";
    authorize_question: "다음 애플리케이션의 접근을 허용하시겠습니까? {application}", "Let {application} act for you?";
    authorize_who: "로그인한 사용자: {name} ({user})", "You are signed in as {name} ({user}).";
    authorize_roles: "애플리케이션이 받는 역할: {roles}", "It gets these roles: {roles}.";
    authorize_zones: "애플리케이션이 접근하는 구역: {zones}", "In these zones: {zones}.";
    authorize_where: "응답을 받을 주소: {address}", "The answer goes to {address}.";
    authorize_approve: "허용", "Allow";
    authorize_deny: "거부", "Do not allow";

    // People: themselves, and those who look after them.
    account: "내 계정", "My account";
    role: "역할", "Role";
    zones: "구역", "Zones";
    every_zone: "모든 구역", "Every zone";
    my_logins: "내 로그인", "My logins";
    my_logins_hint: "모르는 로그인이 있으면 종료하고 비밀번호를 변경하십시오.", "End what you do not know, and change your password.";
    begun: "시작", "Since";
    from: "접속 주소", "From";
    last_used: "마지막 사용", "Last used";
    ends: "종료 예정", "Ends";
    this_login: "지금 로그인", "This one";
    end_login: "종료", "End";
    end_other_logins: "다른 로그인 모두 종료", "End all others";
    end_all_logins: "로그인 모두 종료", "End all logins";
    my_applications: "내 응용 프로그램", "My applications";
    my_applications_hint: "내 이름으로 접속하도록 허용한 프로그램입니다. 모르는 것이 있으면 종료하십시오.", "You let these act in your name. End what you do not know.";
    no_applications: "내 이름으로 접속하는 프로그램이 없습니다.", "No application acts in your name.";
    application: "프로그램", "Application";
    old_password: "현재 비밀번호", "Current password";
    new_password: "새 비밀번호", "New password";
    password_again: "새 비밀번호 확인", "New password again";
    password_rule: "12자 이상이며 이름이나 흔한 비밀번호는 쓸 수 없습니다. 여러 낱말로 된 문장이 좋습니다.", "At least 12 characters; not your name, nothing common. A sentence of a few words is best.";
    change_password: "비밀번호 변경", "Change the password";
    set_password: "비밀번호 설정", "Set the password";
    password_from_file: "이 계정의 비밀번호는 서버의 접근 파일과 환경 변수에서 정해지므로 여기서 변경할 수 없습니다. 서버 관리자에게 요청하십시오.", "The password of this account comes from the server's access file and environment, so it cannot be changed here. Ask whoever runs the server.";
    password_from_provider: "이 계정의 비밀번호는 외부 로그인 서비스에 있으므로 여기서 변경할 수 없습니다.", "The password of this account is that of the external sign-in service, so it cannot be changed here.";
    second_factor: "2단계 인증", "Second factor";
    second_factor_on: "인증 앱이 연결되어 있습니다.", "An authenticator app is connected.";
    second_factor_off: "인증 앱이 연결되어 있지 않습니다. 연결하면 로그인할 때 비밀번호와 함께 일회용 코드를 입력합니다.", "No authenticator app is connected. With one, signing in takes a one-time code beside the password.";
    second_factor_begin: "인증 앱 연결", "Connect an app";
    second_factor_at_provider: "외부 계정으로 다시 로그인하면 10분 안에 인증 앱을 연결할 수 있습니다.", "Sign in at your external account once more: for ten minutes after that, you can connect an app.";
    sign_in_once_more: "외부 계정으로 다시 로그인", "Sign in there once more";
    show_second_factor: "2단계 인증하기", "Show it now";
    connect_first: "이 로그인에는 2단계 인증이 필요합니다. 인증 앱이 설치된 전화기를 준비한 뒤 계속하십시오.", "This login takes a second factor. Have a telephone with an authenticator app at hand, then go on.";
    offer_minutes: "이 그림은 10분 동안만 쓸 수 있습니다.", "The picture is good for ten minutes.";
    sign_in_failures: "최근 7일 동안 이 이름으로 잘못된 비밀번호나 코드가 {n}번 입력되었습니다. 본인이 아니면 비밀번호를 변경하고 관리자에게 알리십시오.", "Within seven days, a wrong password or code was shown {n} times in this name. If that was not you, change your password and tell an administrator.";
    recovery_left: "남은 복구 코드는 {n}개입니다.", "Recovery codes left: {n}.";
    renew_recovery: "복구 코드 새로 만들기", "New recovery codes";
    code: "인증 코드", "Code";
    enter_code: "인증 앱의 6자리 코드를 입력하십시오. 앱을 쓸 수 없으면 복구 코드를 입력하십시오.", "Enter the six digits that your app shows. Without the app, enter a recovery code.";
    connect_app: "인증 앱으로 그림을 찍은 뒤 앱에 나오는 6자리 코드를 입력하십시오.", "Scan the picture with an authenticator app, then enter the six digits that it shows.";
    qr_label: "인증 앱을 연결하는 QR 코드", "QR code that connects an app";
    secret_by_hand: "찍을 수 없으면 이 키를 앱에 입력하십시오.", "If you cannot scan it, type this key into the app.";
    keep_codes: "복구 코드입니다. 한 번만 표시되므로 인쇄하거나 적어서 안전한 곳에 보관하십시오. 코드마다 한 번씩 쓸 수 있습니다.", "These are your recovery codes. They are shown only now: print them or write them down, and keep them safe. Each is good once.";
    go_on: "계속", "Go on";
    cancel: "취소", "Cancel";
    invitation: "초대", "Invitation";
    invitation_for: "사용자 이름: {name}, 역할: {role}. 사용할 비밀번호를 정하십시오.", "You will sign in as {name} ({role}). Choose a password.";
    invitation_gone: "이 초대 링크는 이미 사용되었거나 기한이 지났습니다. 관리자에게 새 링크를 요청하십시오.", "This link was used already, or is too old. Ask an administrator for a new one.";
    people: "사용자", "People";
    full_name: "이름", "Full name";
    person_active: "사용 중", "Active";
    person_disabled: "사용 중지", "Disabled";
    person_invited: "초대됨", "Invited";
    until: "{time}까지", "until {time}";
    change: "변경", "Change";
    save: "저장", "Save";
    enable: "사용 재개", "Enable";
    disable: "사용 중지", "Disable";
    withdraw: "초대 취소", "Withdraw the invitation";
    sure_withdraw: "{name} 님의 초대를 취소하시겠습니까? 링크가 바로 없어지고 목록에서도 지워집니다.", "Really withdraw the invitation of {name}? The link is void at once, and the name leaves the list.";
    invite: "초대", "Invite";
    invite_hint: "초대하면 한 번만 쓸 수 있는 링크가 만들어집니다. 받은 사람이 하루 안에 비밀번호를 정합니다.", "Inviting makes a link that is good once, for a day. Whoever gets it chooses a password.";
    zones_rule: "구역을 하나 이상 선택하십시오.", "Choose at least one zone.";
    user_name_rule: "글자나 숫자로 시작하며, 한 문자 체계의 글자, 숫자와 . _ - @ 64자까지 쓸 수 있습니다.", "At most 64 letters of one alphabet, digits and . _ - @; a letter or a digit first.";
    full_name_rule: "화면에 표시되는 이름입니다. 64자까지 쓸 수 있습니다.", "What pages show; at most 64 characters.";
    new_link: "새 링크", "New link";
    sure_new_link: "{name} 님의 새 링크를 만드시겠습니까? 현재 비밀번호, 2단계 인증, 로그인, 연결된 프로그램이 바로 없어지고, 새 링크로만 들어올 수 있습니다.", "Really make a new link for {name}? The current password, second factor, logins and applications are gone at once: they come in again by the link only.";
    sure_end_logins: "{name} 님의 로그인을 모두 종료하시겠습니까? 열려 있는 화면과 연결된 프로그램이 바로 끊기고, 다시 로그인해야 합니다.", "Really end all logins of {name}? Open pages and applications stop at once, and they have to sign in again.";
    sure_disable: "{name} 님의 사용을 중지하시겠습니까? 로그인과 연결된 프로그램이 바로 끊기고, 쓰지 않은 초대 링크는 없어집니다. 나중에 사용을 재개할 수 있습니다.", "Really disable {name}? Logins and applications stop at once, and a link that was not used is void. They can be enabled again.";
    sure_disable_of_file: "접근 파일에 있는 사용자는 그 파일이 바뀌거나 서버가 다시 시작되면 사용이 재개됩니다. 계속 중지하려면 파일에서도 지우십시오.", "The access file names them: with its next change, or the next start of the server, they are enabled again. To keep them out take them out of that file as well.";
    close: "닫기", "Close";
    notice_no_zone: "구역을 선택하지 않아 처리하지 않았습니다.", "No zone was chosen, so nothing was done.";
    link_made: "{name} 님이 쓸 링크입니다. 5분 동안만 표시되며 {time}까지 한 번 쓸 수 있습니다.", "The link for {name}: shown here for five minutes, good once, until {time}.";
    kept_by_file: "접근 파일에서 관리하는 사용자이므로 역할, 구역, 비밀번호는 그 파일에서 변경합니다.", "The access file keeps this person: role, zones and password are changed there.";
    kept_by_provider: "외부 로그인 서비스의 사용자이므로 역할, 구역, 비밀번호는 그곳에서 변경합니다.", "This person comes in by the external sign-in service: role, zones and password are changed there.";
    locked: "조작 잠김", "Locked";
    locked_sentence: "오래 사용하지 않아 조작을 잠갔습니다. 경보와 상태는 계속 표시되며 비상 명령은 보낼 수 있습니다.", "Nobody did anything here for long, so the controls are locked. Alarms and live state go on; emergency commands are taken.";
    unlock: "잠금 해제", "Unlock";
    unlock_at_provider: "잠금 해제: {provider}", "Unlock: {provider}";
    blocked_locked: "조작이 잠겨 있습니다.", "The controls are locked.";
    notice_locked: "조작이 잠겨 있어 처리하지 않았습니다. 먼저 잠금을 해제하십시오.", "The controls are locked, so nothing was done. Unlock them first.";
    notice_unlocked: "잠금을 해제했습니다.", "The controls are unlocked.";
    notice_wrong_password: "비밀번호가 맞지 않습니다.", "The password is wrong.";
    notice_password_changed: "비밀번호를 변경하고 다른 로그인을 모두 종료했습니다.", "The password is changed, and all other logins are ended.";
    notice_password_short: "새 비밀번호는 12자 이상, 1024바이트 이하여야 합니다.", "A new password has at least 12 characters, and at most 1024 bytes.";
    notice_password_guessable: "이름이 들어 있거나 흔한 비밀번호라서 쓸 수 없습니다.", "That password is your name or a common one: choose another.";
    notice_passwords_differ: "새 비밀번호 두 개가 서로 다릅니다.", "The two new passwords are not the same.";
    notice_logins_ended: "로그인을 종료했습니다.", "The login is ended, with all that came from it.";
    notice_try_later: "시도가 너무 많았습니다. 잠시 후 다시 시도하십시오.", "Too many attempts. Try again in a while.";
    notice_code_wrong: "코드가 맞지 않거나 이미 사용되었습니다. 새 코드를 입력하십시오.", "The code is wrong, or was used already. Enter a new one.";
    notice_no_second_factor: "이 작업에는 2단계 인증이 필요합니다. 내 계정에서 인증 앱을 연결하십시오.", "This takes a second factor: connect an app on the page of your account.";
    notice_person_changed: "변경했습니다. 지금부터 적용됩니다.", "Done. It holds from now on.";
    notice_last_administrator: "마지막 관리자이므로 처리하지 않았습니다.", "That is the last administrator, so nothing was done.";
    notice_not_yourself: "자기 자신에게는 할 수 없는 작업입니다.", "You cannot do this to yourself.";
    notice_kept_by_file: "접근 파일에서 관리하거나 관리했던 사용자이므로 처리하지 않았습니다. 그 파일에 다시 적어야 들어올 수 있습니다.", "The access file keeps or kept this person, so nothing was done: whoever is to come in again is named in it again.";
    notice_offer_gone: "인증 앱 연결 시간이 지났거나 다른 곳에서 이미 연결했습니다. 처음부터 다시 시작하십시오.", "Connecting the app took too long, or another was connected meanwhile. Begin again.";
    notice_sign_in_at_provider: "외부 계정을 쓰는 사용자입니다. 외부 계정으로 다시 로그인하십시오.", "You come in by an external account: sign in there once more.";
    notice_not_proved: "외부 계정으로 본인임이 확인되지 않아 아무 작업도 하지 않았습니다.", "Your external account did not confirm that it is you, so nothing was done.";
    notice_grant_ended: "프로그램의 접속 허용을 종료했습니다.", "The application may act in your name no longer.";
    notice_kept_by_provider: "외부 로그인 서비스의 사용자이므로 처리하지 않았습니다. 그곳에서 변경하십시오.", "This person comes in by the external sign-in service, so nothing was done. Change it there.";
    notice_person_exists: "같은 이름의 사용자가 이미 있습니다. 목록에서 새 링크를 만드십시오.", "Somebody of this name is here already: make a new link in the list.";
    notice_no_such_person: "그런 사용자가 없어 처리하지 않았습니다.", "Nobody has this name, so nothing was done.";
    notice_person_disabled: "사용이 중지된 사용자입니다. 먼저 사용을 재개하십시오.", "This person is disabled: enable them first.";
    notice_name_taken: "프로그램이나 에이전트가 쓰는 이름입니다. 다른 이름을 쓰십시오.", "That is the name of a program or an agent: choose another.";
    notice_name_looks_alike: "이미 있는 이름과 혼동되는 이름입니다. 다른 이름을 쓰십시오.", "That name looks like one that is here already: choose another.";
    notice_has_come_in: "한 번이라도 로그인한 사용자는 목록에서 지울 수 없습니다. 대신 사용 중지하십시오.", "Whoever has come in stays in the list: disable them instead.";

    // Counts and zones.
    active: "발생 중", "Active";
    unacknowledged: "미확인", "Unacknowledged";
    unknown_devices: "상태 불명", "Unknown";
    devices: "장치", "Devices";
    zone_alarms_link: "{zone} 경보 보기", "Show the alarms of {zone}";
    no_zones: "볼 수 있는 구역이 없습니다. 관리자에게 구역 권한을 요청하십시오.", "There is no zone that you may see. Ask an administrator for access to a zone.";
    no_devices: "이 구역에 등록된 장치가 없습니다.", "No device is registered in this zone.";
    lane_none: "공용", "Shared";
    lane_of: "차로 {lane}", "Lane {lane}";
    unacknowledged_count: "미확인 {n}건", "{n} unacknowledged";
    unacknowledged_short: "미확인 {n}", "{n} unack.";

    // The alarm strip and the alarm list.
    alarm_strip: "경보 요약", "Alarm summary";
    strip_calm: "미확인 경보가 없습니다.", "No unacknowledged alarms.";
    strip_counts: "우선순위 {priority}: 발생 중 {active}건, 미확인 {unacknowledged}건", "Priority {priority}: {active} active, {unacknowledged} unacknowledged";
    no_alarms: "발생 중이거나 미확인인 경보가 없습니다.", "No alarm is active or waits for acknowledgement.";
    no_alarms_device: "이 장치에 경보가 없습니다.", "This device has no alarms.";
    only_zone: "{zone} 구역의 경보만 표시합니다.", "Only the alarms of {zone} are shown.";
    all_zones: "모든 구역 보기", "Show all zones";
    priority: "우선순위", "Priority";
    state: "상태", "State";
    device: "장치", "Device";
    alarm: "경보 내용", "Alarm";
    raised: "발생", "Raised";
    cleared: "해소 {time}", "Cleared {time}";
    count: "횟수", "Count";
    acknowledged_by: "확인자", "Acknowledged by";
    acknowledge: "확인", "Acknowledge";
    acknowledge_what: "{device} {text} 경보 확인", "Acknowledge {text} of {device}";
    alarms_shown: "경보 {n}건", "Alarms: {n}";

    // Outcomes of what people do.
    notice_acknowledged: "경보를 확인했습니다.", "The alarm is acknowledged.";
    notice_already_acknowledged: "이미 확인된 경보입니다.", "This alarm was acknowledged before.";
    notice_already_acknowledged_by: "{time}에 {by} 님이 이미 확인했습니다.", "{by} acknowledged it at {time} already.";
    notice_newer_occurrence: "그 사이 경보가 다시 발생했습니다. 내용을 보고 다시 확인하십시오.", "The alarm was raised again meanwhile. Look at it and acknowledge it once more.";
    notice_command_queued: "명령을 접수했습니다. 결과는 최근 명령에 표시됩니다.", "The command is taken in. What becomes of it shows in the last commands.";
    notice_command_refused: "명령이 거부되었습니다. 장치에는 아무 일도 없었습니다.", "The command was refused. Nothing happened at the device.";
    notice_command_refused_because: "명령이 거부되었습니다. {reason}", "The command was refused. {reason}";
    notice_approved: "장치를 승인했습니다.", "The device is approved.";
    notice_not_permitted: "이 작업을 할 권한이 없습니다.", "You are not permitted to do this.";
    notice_second_factor_needed: "2단계 인증을 먼저 하십시오. 아무 작업도 하지 않았습니다.", "Show your second factor first. Nothing was done.";
    notice_form_expired: "화면이 오래되어 처리하지 않았습니다. 다시 시도하십시오.", "The page was too old, so nothing was done. Try again.";
    notice_not_confirmed: "실행을 확인하지 않아 명령을 보내지 않았습니다.", "The command was not confirmed, so it was not sent.";
    notice_bad_input: "입력값이 올바르지 않아 처리하지 않았습니다.", "What was entered is not valid, so nothing was done.";
    notice_too_many: "명령이 너무 많아 처리하지 않았습니다. 잠시 뒤 다시 시도하십시오.", "Too many commands were given, so this one was not. Wait a moment, then try again.";
    notice_not_recording: "데이터베이스를 사용할 수 없어 처리하지 않았습니다. 잠시 후 다시 시도하십시오.", "The database is away, so nothing was done. Try again in a moment.";
    notice_unavailable: "서버가 처리하지 못했습니다. 잠시 후 다시 시도하십시오.", "The server could not do it. Try again in a moment.";

    // A device.
    condition: "장치 상태", "Condition";
    since: "{time}부터", "since {time}";
    device_id: "장치 ID", "Device id";
    zone: "구역", "Zone";
    lane: "차로", "Lane";
    device_type: "종류", "Type";
    agent: "에이전트", "Agent";
    last_heard: "마지막 수신", "Last heard";
    readings: "측정값", "Readings";
    point: "항목", "Point";
    value: "값", "Value";
    scale: "범위", "Range";
    quality: "품질", "Quality";
    age: "경과", "Age";
    no_readings: "이 장치는 측정값을 보내지 않습니다.", "This device reports no readings.";
    no_value: "값 없음", "No value";
    on: "켜짐", "On";
    off: "꺼짐", "Off";
    position_on_scale: "{min}에서 {max} 사이의 {value}", "{value} between {min} and {max}";
    approve: "장치 승인", "Approve the device";
    approve_sentence: "에이전트 {agent}에서 알려 온 장치이며 아직 아무도 승인하지 않았습니다.", "Agent {agent} announced this device, and nobody approved it yet.";

    // Number plates.
    plate_reason: "차량 번호 전체를 보는 사유 (감사 기록에 남습니다)", "why you need the whole number plate (it goes into the audit)";
    plate_show: "번호 보기", "Show it";
    plate_audited: "이 조회는 사유와 함께 감사 기록에 남았습니다.", "That you saw it, and why, is in the audit.";
    plate_back: "장치로 돌아가기", "Back to the device";

    // The audit.
    audit: "감사 기록", "Audit";
    audit_number: "번호", "Number";
    audit_at: "일시", "Time";
    audit_actor: "사용자", "Who";
    audit_peer: "접속 위치", "From where";
    audit_action: "작업", "Action";
    audit_subject: "대상", "On what";
    audit_reason: "사유", "Why";
    audit_outcome: "결과", "Result";
    audit_from: "시작", "From";
    audit_to: "끝", "Until";
    audit_search: "조회", "Show";
    audit_table: "CSV 내려받기", "Download as CSV";
    audit_older: "이전 기록 보기", "Older ones";
    audit_no_time: "일시가 아닙니다. 2026-11-22T07:08처럼 적으십시오.", "This is no time: write it like 2026-11-22T07:08.";
    audit_not_read: "조건을 읽을 수 없어 아무 기록도 표시하지 않습니다.", "The filter cannot be read, so nothing is shown.";
    none: "없음", "none";
    audit_empty: "조건에 맞는 기록이 없습니다.", "Nothing in the audit fits this.";

    // Commands.
    commands: "명령", "Commands";
    no_commands: "이 장치에 보낼 수 있는 명령이 없습니다.", "This device takes no commands.";
    confirm: "실행", "Confirm";
    confirm_what: "{device}: {command} 명령을 실행합니다.", "{command}: {device}.";
    confirm_care: "주변에 사람이나 차량이 없는지 확인하십시오.", "Make sure that no person or vehicle is in danger.";
    confirm_time: "10초 안에 실행하지 않으면 닫힙니다.", "It closes if you do not confirm within 10 s.";
    risk_critical: "주의", "Critical";
    risk_emergency: "비상", "Emergency";
    parameter_range: "{min}에서 {max}까지", "{min} to {max}";
    blocked_forbidden: "권한이 없습니다.", "You are not permitted to give it.";
    blocked_unknown: "장치가 응답하지 않습니다.", "The device does not answer.";
    blocked_unregistered: "승인되지 않은 장치입니다.", "The device is not approved.";
    blocked_not_recording: "기록할 수 없는 동안에는 보낼 수 없습니다.", "It cannot be given while nothing is recorded.";
    blocked_lost: "연결이 끊긴 동안에는 명령을 보낼 수 없습니다.", "No commands while the connection is lost.";
    last_commands: "최근 명령", "Last commands";
    no_last_commands: "이 장치에 보낸 명령이 없습니다.", "No command was given to this device yet.";

    // Errors.
    error_not_found: "찾는 화면이 없습니다.", "There is no such page.";
    error_not_found_do: "주소를 확인하거나 현황 화면에서 찾으십시오.", "Check the address, or find it from the overview.";
    error_no_device_do: "주소를 확인하거나 현황 화면에서 찾으십시오. 장치가 삭제되었을 수도 있습니다.", "Check the address, or find it from the overview. The device may have been removed.";
    error_forbidden: "이 화면을 볼 권한이 없습니다.", "You may not see this page.";
    error_application: "애플리케이션의 로그인 요청이 올바르지 않습니다.", "An application asked you to sign in, and asked wrongly.";
    error_application_do: "이 주소로 보낸 애플리케이션이 등록되지 않았거나, 등록된 것과 다른 주소로 응답을 받으려 합니다. 그 애플리케이션을 신뢰하지 말고 관리자에게 알리십시오.", "The application is not registered here, or wants its answer where it is not registered. Do not trust it; tell an administrator.";
    error_forbidden_do: "필요하면 관리자에게 역할이나 구역 권한을 요청하십시오.", "If you need it, ask an administrator for the role or the zone.";
    error_too_many: "요청이 너무 많습니다.", "Too many requests came from here.";
    error_too_many_do: "잠시 뒤 다시 시도하십시오.", "Wait a moment, then try again.";
    error_internal: "서버에서 오류가 발생했습니다.", "Something went wrong in the server.";
    error_internal_do: "다시 시도하고, 계속되면 아래 번호를 관리자에게 알려 주십시오.", "Try again. If it goes on, tell an administrator the number below.";
    error_unavailable: "지금은 이 화면을 보여 줄 수 없습니다.", "This page cannot be shown just now.";
    error_unavailable_do: "몇 초 뒤 다시 시도하십시오. 현장 장치는 계속 동작합니다.", "Try again in a few seconds. The equipment itself keeps working.";
    error_reference: "오류 번호 {reference}", "Error number {reference}";
    try_again: "다시 시도", "Try again";
    to_overview: "현황으로 가기", "Go to the overview";

    // Conditions.
    condition_ok: "정상", "OK";
    condition_faulty: "고장", "Faulty";
    condition_unknown: "상태 불명", "Unknown";
    condition_out_of_service: "운영 중지", "Out of service";
    condition_off_on_purpose: "계획 정지", "Off on purpose";
    condition_unregistered: "미등록", "Unregistered";

    // Qualities.
    quality_good: "양호", "Good";
    quality_suspect: "의심", "Suspect";
    quality_bad: "불량", "Bad";
    quality_stale: "갱신 지연", "Stale";
    quality_comm_lost: "통신 두절", "Comm lost";
    quality_unknown: "수신 전", "Never read";

    // Priorities.
    priority_critical: "긴급", "Critical";
    priority_high: "높음", "High";
    priority_medium: "중간", "Medium";
    priority_low: "낮음", "Low";

    // States of an alarm.
    alarm_normal: "해소", "Normal";
    alarm_unacknowledged: "미확인", "Unacknowledged";
    alarm_acknowledged: "확인됨", "Acknowledged";
    alarm_returned: "해소, 미확인", "Cleared, unacknowledged";

    // States of a command.
    command_awaiting_approval: "승인 대기", "Awaiting approval";
    command_queued: "대기", "Queued";
    command_sent: "전송됨", "Sent";
    command_delivered: "전달됨", "Delivered";
    command_accepted: "수락됨", "Accepted";
    command_executing: "실행 중", "Executing";
    command_succeeded: "성공", "Succeeded";
    command_unverified: "동작 미확인", "Unverified";
    command_rejected: "거부됨", "Rejected";
    command_failed: "실패", "Failed";
    command_unknown: "결과 불명", "Unknown";
    command_expired: "시한 초과", "Expired";
    command_cancelled: "취소됨", "Cancelled";
    command_unverified_hint: "장치는 수락했지만 동작은 확인되지 않았습니다. 카메라나 현장에서 확인하십시오.", "The device said yes, but was not seen doing it. Check by camera or on site.";
    command_unknown_hint: "실행 여부를 알 수 없습니다. 카메라나 현장에서 확인하십시오.", "Nobody can say whether it happened. Check by camera or on site.";
    command_expired_hint: "시한 안에 시작되지 않았고 앞으로도 실행되지 않습니다.", "It did not begin in time and never will.";

    // Reasons of a command's end.
    reason_device_in_local: "장치가 현장 조작으로 전환되어 있습니다.", "The device is switched to local operation.";
    reason_not_selected: "먼저 선택해야 합니다.", "It must be selected first.";
    reason_locked: "다른 사람이 선택하고 있습니다.", "Somebody else has selected it.";
    reason_select_expired: "선택 시간이 지났습니다.", "The selection timed out.";
    reason_already_in_state: "이미 그 상태입니다.", "It is already in that state.";
    reason_tagged_out: "작업 표찰이 걸려 있습니다.", "A tag on the device forbids it.";
    reason_interlock: "인터록 조건이 맞지 않거나 그 값이 오래되었습니다.", "An interlock does not hold, or its data is too old.";
    reason_busy: "장치가 다른 명령을 실행하고 있습니다.", "The device executes another command.";
    reason_device_fault: "장치 고장으로 실행할 수 없습니다.", "A fault of the device forbids it.";
    reason_one_at_a_time: "그룹에서 하나만 실행할 수 있습니다.", "Only one of the group may run.";
    reason_forbidden: "지시한 사람에게 권한이 없습니다.", "Whoever gave it may not.";
    reason_bad_parameter: "매개변수가 없거나 범위를 벗어났습니다.", "A parameter is missing, unknown or out of range.";
    reason_not_supported: "이 장치에 없는 명령입니다.", "The device has no such command.";
    reason_comm_lost: "장치나 에이전트와 통신할 수 없습니다.", "The device or its agent cannot be reached.";
    reason_cancelled: "다른 사람이 취소했습니다.", "Somebody took it back.";
    reason_feedback_mismatch: "실행했지만 읽은 상태가 명령과 다릅니다.", "It ran, and what was read back is something else.";
    reason_deadline_passed: "시한이 지났습니다.", "Its deadline had passed.";
    reason_interrupted: "실행 도중 에이전트가 멈췄습니다.", "The agent stopped while it was being executed.";
    reason_detail: "{reason} ({detail})", "{reason} ({detail})";

    // Roles.
    role_viewer: "조회자", "Viewer";
    role_operator: "관제원", "Operator";
    role_technician: "정비원", "Technician";
    role_supervisor: "감독자", "Supervisor";
    role_administrator: "관리자", "Administrator";
    role_agent: "에이전트", "Agent";
    role_device: "장치", "Device";
    role_program: "프로그램", "Program";
}

/// The texts of `language`.
pub(crate) fn words(language: Language) -> &'static Words {
    match language {
        Language::Ko => &KO,
        Language::En => &EN,
    }
}

/// Puts values in the places of a sentence. A value is never searched for places itself.
pub(crate) fn fill(sentence: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(sentence.len() + 32);
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let place = after.split_once('}').and_then(|(name, tail)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((*value, tail))
        });
        if let Some((value, tail)) = place {
            filled.push_str(value);
            rest = tail;
        } else {
            filled.push('{');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

impl Words {
    pub(crate) fn condition(&self, condition: &Condition) -> &'static str {
        match condition {
            Condition::Ok => self.condition_ok,
            Condition::Faulty => self.condition_faulty,
            Condition::Unknown => self.condition_unknown,
            Condition::OutOfService => self.condition_out_of_service,
            Condition::OffOnPurpose => self.condition_off_on_purpose,
            Condition::Unregistered => self.condition_unregistered,
        }
    }

    pub(crate) fn quality(&self, quality: &Quality) -> &'static str {
        match quality {
            Quality::Good => self.quality_good,
            Quality::Suspect => self.quality_suspect,
            Quality::Bad => self.quality_bad,
            Quality::Stale => self.quality_stale,
            Quality::CommLost => self.quality_comm_lost,
            Quality::Unknown => self.quality_unknown,
        }
    }

    pub(crate) fn priority(&self, priority: &Priority) -> &'static str {
        match priority {
            Priority::Critical => self.priority_critical,
            Priority::High => self.priority_high,
            Priority::Medium => self.priority_medium,
            Priority::Low => self.priority_low,
        }
    }

    pub(crate) fn alarm_state(&self, state: &AlarmState) -> &'static str {
        match state {
            AlarmState::Normal => self.alarm_normal,
            AlarmState::Unacknowledged => self.alarm_unacknowledged,
            AlarmState::Acknowledged => self.alarm_acknowledged,
            AlarmState::ReturnedUnacknowledged => self.alarm_returned,
        }
    }

    pub(crate) fn command_state(&self, state: &CommandState) -> &'static str {
        match state {
            CommandState::AwaitingApproval => self.command_awaiting_approval,
            CommandState::Queued => self.command_queued,
            CommandState::Sent => self.command_sent,
            CommandState::Delivered => self.command_delivered,
            CommandState::Accepted => self.command_accepted,
            CommandState::Executing => self.command_executing,
            CommandState::Succeeded => self.command_succeeded,
            CommandState::Unverified => self.command_unverified,
            CommandState::Rejected => self.command_rejected,
            CommandState::Failed => self.command_failed,
            CommandState::Unknown => self.command_unknown,
            CommandState::Expired => self.command_expired,
            CommandState::Cancelled => self.command_cancelled,
        }
    }

    /// What to do about a state that does not speak for itself.
    pub(crate) fn command_hint(&self, state: &CommandState) -> Option<&'static str> {
        match state {
            CommandState::Unverified => Some(self.command_unverified_hint),
            CommandState::Unknown => Some(self.command_unknown_hint),
            CommandState::Expired => Some(self.command_expired_hint),
            CommandState::AwaitingApproval
            | CommandState::Queued
            | CommandState::Sent
            | CommandState::Delivered
            | CommandState::Accepted
            | CommandState::Executing
            | CommandState::Succeeded
            | CommandState::Rejected
            | CommandState::Failed
            | CommandState::Cancelled => None,
        }
    }

    pub(crate) fn reason(&self, code: &ReasonCode) -> &'static str {
        match code {
            ReasonCode::DeviceInLocal => self.reason_device_in_local,
            ReasonCode::NotSelected => self.reason_not_selected,
            ReasonCode::Locked => self.reason_locked,
            ReasonCode::SelectExpired => self.reason_select_expired,
            ReasonCode::AlreadyInState => self.reason_already_in_state,
            ReasonCode::TaggedOut => self.reason_tagged_out,
            ReasonCode::Interlock => self.reason_interlock,
            ReasonCode::Busy => self.reason_busy,
            ReasonCode::DeviceFault => self.reason_device_fault,
            ReasonCode::OneAtATime => self.reason_one_at_a_time,
            ReasonCode::Forbidden => self.reason_forbidden,
            ReasonCode::BadParameter => self.reason_bad_parameter,
            ReasonCode::NotSupported => self.reason_not_supported,
            ReasonCode::CommLost => self.reason_comm_lost,
            ReasonCode::Cancelled => self.reason_cancelled,
            ReasonCode::FeedbackMismatch => self.reason_feedback_mismatch,
            ReasonCode::DeadlinePassed => self.reason_deadline_passed,
            ReasonCode::Interrupted => self.reason_interrupted,
        }
    }

    pub(crate) fn role(&self, role: &Role) -> &'static str {
        match role {
            Role::Viewer => self.role_viewer,
            Role::Operator => self.role_operator,
            Role::Technician => self.role_technician,
            Role::Supervisor => self.role_supervisor,
            Role::Administrator => self.role_administrator,
            Role::Agent => self.role_agent,
            Role::Device => self.role_device,
            Role::Program => self.role_program,
        }
    }
}

pub(crate) mod audit;

#[cfg(test)]
mod tests;
