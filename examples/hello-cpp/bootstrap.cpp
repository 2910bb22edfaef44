// A whole Lambda runtime in the C++ standard library and sockets: ask for an event, answer it, again.
// Build: g++ -std=c++17 -O2 -static -o bootstrap bootstrap.cpp

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

const std::string prefix = "/2018-06-01/runtime/invocation";

struct Answer {
    int status = 0;
    std::string id;
    std::string body;
};

std::string handler(const std::string& event) {
    const auto key = event.find("\"name\"");
    const auto begin = key == std::string::npos ? key : event.find('"', event.find(':', key));
    if (begin == std::string::npos) throw std::invalid_argument("no name in the event");
    const auto end = event.find('"', begin + 1);
    return "{\"message\": \"Hello, " + event.substr(begin + 1, end - begin - 1) + ", from C++!\"}";
}

std::string header(const std::string& head, std::string name) {
    std::string lower = head;
    std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
    const auto at = lower.find("\r\n" + name + ":");
    if (at == std::string::npos) return "";
    const auto begin = head.find_first_not_of(' ', at + name.size() + 3);
    return head.substr(begin, head.find("\r\n", begin) - begin);
}

// One request on a connection of its own.
Answer call(const std::string& method, const std::string& path, const std::string& body) {
    const std::string api = std::getenv("AWS_LAMBDA_RUNTIME_API");
    const auto colon = api.find(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::stoi(api.substr(colon + 1))));
    inet_pton(AF_INET, api.substr(0, colon).c_str(), &address.sin_addr);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::exit(1);
    const std::string request = method + " " + path + " HTTP/1.1\r\nHost: " + api + "\r\nConnection: close\r\nContent-Length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body;
    for (size_t sent = 0; sent < request.size();) {
        const auto count = write(fd, request.data() + sent, request.size() - sent);
        if (count <= 0) std::exit(1);
        sent += static_cast<size_t>(count);
    }
    std::string text;
    char block[65536];
    size_t split = std::string::npos, wanted = 0;
    while (split == std::string::npos || text.size() < wanted) {
        const auto count = read(fd, block, sizeof block);
        if (count <= 0) break;
        text.append(block, static_cast<size_t>(count));
        if (split == std::string::npos && (split = text.find("\r\n\r\n")) != std::string::npos) {
            const auto length = header(text.substr(0, split + 2), "content-length");
            wanted = split + 4 + (length.empty() ? 0 : std::stoul(length));
        }
    }
    close(fd);
    if (split == std::string::npos) std::exit(1);
    const std::string head = text.substr(0, split + 2);
    return {std::stoi(head.substr(9, 3)), header(head, "lambda-runtime-aws-request-id"), text.substr(split + 4)};
}

}  // namespace

int main() {
    while (true) {
        const Answer next = call("GET", prefix + "/next", "");
        if (next.status != 200) return 1;
        try {
            call("POST", prefix + "/" + next.id + "/response", handler(next.body));
        } catch (const std::exception& error) {
            call("POST", prefix + "/" + next.id + "/error",
                 "{\"errorType\": \"std::exception\", \"errorMessage\": \"" + std::string(error.what()) + "\"}");
        }
    }
}
