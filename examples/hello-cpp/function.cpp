#include <stdexcept>

#include "runtime.h"

Handler load() {
    return [](const std::string& event, const std::string&) {
        const std::string name = text_of(event, "name");
        if (name.empty()) throw std::invalid_argument("no name in the event");
        return "{\"message\": \"Hello, " + name + ", from C++!\"}";
    };
}
