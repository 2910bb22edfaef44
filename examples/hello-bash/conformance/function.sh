# What `lambdad runtime test` asks of a function; see docs/runtimes.md.
if [[ ${CONFORMANCE_INIT_ERROR:-} ]]; then
  fail "asked to fail" || return
fi

handler() {
  local event
  event=$(< /dev/stdin)
  case $event in
    *'"conformance":"echo"'*) printf '%s' "$event" ;;
    *'"conformance":"deadline"'*) echo "{\"deadline_ms\": $DEADLINE_MS}" ;;
    *'"conformance":"sleep"'*)
      sleep "$(member ms)e-3"
      printf '%s' "$event"
      ;;
    *'"conformance":"large"'*) printf '"%*s"' "$(member bytes)" "" ;;
    *) fail "asked to fail, or unknown here" ;;
  esac
}

# The number that a member of the event has.
member() {
  [[ $event =~ \"$1\":([0-9]+) ]] && echo "${BASH_REMATCH[1]}"
}
