#!/bin/bash
# An external extension in bash: registers, hears of every invocation, cleans up when the sandbox ends.
set -euo pipefail

api="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
name=$(basename "$0")
headers=$(mktemp)

curl --silent --show-error --fail --dump-header "$headers" --output /dev/null \
  --header "Lambda-Extension-Name: $name" --data '{"events": ["INVOKE", "SHUTDOWN"]}' "$api/register"
identifier=$(tr -d '\r' < "$headers" | sed -n 's/^lambda-extension-identifier: *//Ip')
echo "[$name] registered"

while true; do
  # Asking for the next event says that the last one is dealt with: the sandbox may be frozen until there is one.
  event=$(curl --silent --show-error --fail --header "Lambda-Extension-Identifier: $identifier" "$api/event/next")
  case $event in
    *'"SHUTDOWN"'*)
      echo "[$name] shutting down: $event"
      exit 0
      ;;
    *)
      echo "[$name] $event"
      ;;
  esac
done
