// What the runtime and its functions share.
#pragma once

#include <functional>
#include <string>

// Takes the event and the deadline in milliseconds since the epoch; returns JSON, or throws.
using Handler = std::function<std::string(const std::string& event, const std::string& deadline)>;

// The function, in function.cpp; throws if it cannot be had.
Handler load();

// The text that a member of the event has; empty if it has none. Escapes are not looked into.
inline std::string text_of(const std::string& event, const std::string& name) {
    const auto key = event.find('"' + name + '"');
    const auto begin = key == std::string::npos ? key : event.find('"', event.find(':', key));
    if (begin == std::string::npos) return "";
    return event.substr(begin + 1, event.find('"', begin + 1) - begin - 1);
}
