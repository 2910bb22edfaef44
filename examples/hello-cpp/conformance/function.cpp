// What `lambdad runtime test` asks of a function; see docs/runtimes.md.
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "runtime.h"

namespace {

int number_of(const std::string& event, const std::string& name) {
    return std::stoi(event.substr(event.find(':', event.find('"' + name + '"')) + 1));
}

}  // namespace

Handler load() {
    if (std::getenv("CONFORMANCE_INIT_ERROR")) throw std::runtime_error("asked to fail");
    return [](const std::string& event, const std::string& deadline) -> std::string {
        const std::string wanted = text_of(event, "conformance");
        if (wanted == "echo") return event;
        if (wanted == "deadline") return "{\"deadline_ms\": " + deadline + "}";
        if (wanted == "large") return '"' + std::string(number_of(event, "bytes"), 'x') + '"';
        if (wanted == "sleep") {
            std::this_thread::sleep_for(std::chrono::milliseconds(number_of(event, "ms")));
            return event;
        }
        throw std::runtime_error("asked to fail, or unknown here");
    };
}
