#!/usr/bin/env bash
# Every way to a token, tried with curl against a running demo (or another server that has such a client, person and
# application): what was sent, and what came back, with secrets cut short. Ends with 1 at the first answer that is not as
# expected. What it prints for a fresh server is token-flows.txt; a test holds the two together.
#
#   LANDSIDE_SECRET=… docs/clients/token-flows.sh          # the demo's password
set -euo pipefail
export LC_ALL=C.UTF-8

url=${LANDSIDE_URL:-http://127.0.0.1:8080}
stomp=${LANDSIDE_STOMP:-127.0.0.1:61613}
program=${LANDSIDE_PROGRAM:-demo-program}
person=${LANDSIDE_PERSON:-operator}
application=${LANDSIDE_APPLICATION:-demo-app}
secret=${LANDSIDE_SECRET:?the secret of the program, which is the password of the person as well}
back=http://127.0.0.1:49152/signed-in

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jar=$work/cookies

# What nobody shall read over somebody's shoulder, and what differs from server to server.
short() {
    sed -E \
        -e "s|$url|http://127.0.0.1:8080|g; s|$(enc "$url")|http%3A%2F%2F127.0.0.1%3A8080|g" \
        -e "s|$jar|cookies|g; s/$secret/SECRET/g" \
        -e "s/\b$program\b/program/g; s/\b$person\b/operator/g; s/\b$application\b/field-app/g" \
        -e 's/eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+/eyJ…/g' \
        -e 's/[A-Za-z0-9_-]{43,}/…/g'
}

enc() { sed -e 's/:/%3A/g; s/\//%2F/g' <<<"$1"; }

say() { printf '\n# %s\n' "$1"; }

# ask STATUS curl's arguments: shows them, and what comes back; the body is left in $work/body.
ask() {
    local expected=$1 status word
    shift
    printf '$ curl'
    for word in "$@"; do
        word=$(short <<<"$word")
        case $word in
            *[\ \;\&]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    status=$(curl --silent --output "$work/body" --dump-header "$work/head" --write-out '%{http_code}' "$@")
    printf '%s' "$status"
    sed -n 's/\r$//; s/^location: / to /ip' "$work/head" | tr -d '\n' | short
    printf '\n'
    case $(sed -n 's/^content-type: //ip' "$work/head") in
        *json*) short <"$work/body"; printf '\n' ;;
    esac
    if [ "$status" != "$expected" ]; then
        printf 'expected %s\n' "$expected"
        exit 1
    fi
}

member() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/body"; }
field() { sed -n "s/.*name=\"$1\" value=\"\([^\"]*\)\".*/\1/p" "$work/body" | head -n 1; }

# connect COMMAND header…: STOMP has lines and a NUL at the end; curl speaks no STOMP.
connect() {
    local expected=$1 line
    shift
    exec 3<>"/dev/tcp/${stomp%:*}/${stomp##*:}"
    printf '%s\n' "> CONNECT" "> accept-version:1.2" "> host:landside" "${@/#/> }" | short
    printf '%s\n' CONNECT accept-version:1.2 host:landside "$@" '' >&3
    printf '\0' >&3
    IFS= read -r -t 10 line <&3
    printf '< %s\n' "$line"
    [ "$line" = "$expected" ] || exit 1
    while IFS= read -r -t 10 line <&3 && [ -n "$line" ]; do
        case $line in
            version:* | user-name:* | code:* | message:*) printf '< %s\n' "$line" | short ;;
        esac
    done
    exec 3>&-
}

say "Where everything is, and the public keys"
ask 200 "$url/.well-known/oauth-authorization-server" >/dev/null
printf '$ curl %s/.well-known/oauth-authorization-server\n' "$url" | short
grep -o '"[a-z_]*\(endpoint\|issuer\|jwks_uri\)":"[^"]*"' "$work/body" | sort | short
ask 200 "$url/.well-known/jwks.json" >/dev/null
printf '$ curl %s/.well-known/jwks.json\n' "$url" | short
grep -o '"\(alg\|crv\|kty\|use\)":"[^"]*"' "$work/body" | sort -u

say "A program acts for itself"
ask 401 --user "$program:wrong" --data grant_type=client_credentials "$url/oauth/token"
ask 200 --user "$program:$secret" --data grant_type=client_credentials "$url/oauth/token"
token=$(member access_token)
ask 200 --header "Authorization: Bearer $token" "$url/api/v1/grants"
connect CONNECTED "Authorization:Bearer $token"

say "It gives its token back, which is worth nothing from then on"
ask 200 --user "$program:$secret" --data "token=$token" "$url/oauth/revoke"
ask 401 --header "Authorization: Bearer $token" "$url/api/v1/grants"
connect ERROR "Authorization:Bearer $token"

say "A login and a passcode instead of a token are refused unless the configuration allows them"
connect ERROR "login:$program" "passcode:$secret"

say "A person signs in, and lets an application act for them (PKCE)"
ask 303 --cookie-jar "$jar" --header "Origin: $url" --data "name=$person" --data-urlencode "password=$secret" "$url/sign-in"
verifier=$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n')
challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d '=\n')
asked="response_type=code&client_id=$application&redirect_uri=$(enc "$back")&state=xyz&code_challenge=$challenge&code_challenge_method=S256"
ask 200 --cookie "$jar" "$url/oauth/authorize?$asked"
csrf=$(field csrf)
ask 303 --cookie "$jar" --data "$asked" --data "csrf=$csrf" --data decision=approve "$url/oauth/authorize"
code=$(sed -n 's/.*[?&]code=\([^&]*\).*/\1/p' "$work/head" | tr -d '\r')
exchange=(--data grant_type=authorization_code --data "client_id=$application" --data "redirect_uri=$back" --data "code=$code")
ask 200 "${exchange[@]}" --data "code_verifier=$verifier" "$url/oauth/token"
first=$(member refresh_token)

say "The application refreshes; a refresh token that comes again ends everything that came from it"
refresh=(--data grant_type=refresh_token --data "client_id=$application")
ask 200 "${refresh[@]}" --data "refresh_token=$first" "$url/oauth/token"
second=$(member refresh_token)
ask 200 "${refresh[@]}" --data "refresh_token=$second" "$url/oauth/token"
third=$(member refresh_token)
token=$(member access_token)
ask 400 "${refresh[@]}" --data "refresh_token=$first" "$url/oauth/token"
ask 400 "${refresh[@]}" --data "refresh_token=$third" "$url/oauth/token"
ask 401 --header "Authorization: Bearer $token" "$url/api/v1/grants"

say "A code is good with its verifier only, and for one attempt"
ask 303 --cookie "$jar" --data "$asked" --data "csrf=$csrf" --data decision=approve "$url/oauth/authorize"
code=$(sed -n 's/.*[?&]code=\([^&]*\).*/\1/p' "$work/head" | tr -d '\r')
exchange=(--data grant_type=authorization_code --data "client_id=$application" --data "redirect_uri=$back" --data "code=$code")
ask 400 "${exchange[@]}" --data "code_verifier=$challenge" "$url/oauth/token"
ask 400 "${exchange[@]}" --data "code_verifier=$verifier" "$url/oauth/token"

say "A page gets its token by the cookie and the page's own header; both end with the login"
ask 403 --cookie "$jar" --request POST "$url/login/token"
ask 200 --cookie "$jar" --header "x-csrf-token: $csrf" --request POST "$url/login/token"
token=$(member access_token)
connect CONNECTED "Authorization:Bearer $token"
ask 303 --cookie "$jar" --data "csrf=$csrf" "$url/sign-out"
connect ERROR "Authorization:Bearer $token"
