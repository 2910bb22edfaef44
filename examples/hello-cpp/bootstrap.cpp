// A Lambda runtime in the C++ standard library and sockets: load the function, then ask for an event, answer it, again.
// Build: g++ -std=c++17 -O2 -static -o bootstrap bootstrap.cpp function.cpp

#include "runtime.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

const std::string prefix = "/2018-06-01/runtime";

struct Answer {
    int status = 0;
    std::string id;
    std::string deadline;
    std::string body;
};

std::string header(const std::string& head, std::string name) {
    std::string lower = head;
    std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
    const auto at = lower.find("\r\n" + name + ":");
    if (at == std::string::npos) return "";
    const auto begin = head.find_first_not_of(' ', at + name.size() + 3);
    return head.substr(begin, head.find("\r\n", begin) - begin);
}

// Each chunk has its size in hexadecimal digits before it and an empty line after; one of size 0 is the end.
std::string join_chunks(const std::string& text) {
    std::string joined;
    for (size_t at = 0;;) {
        const size_t size = std::stoul(text.substr(at, 16), nullptr, 16);
        if (size == 0) return joined;
        at = text.find("\r\n", at) + 2;
        joined.append(text, at, size);
        at += size + 2;
    }
}

// One request on a connection of its own: the end of the connection is the end of the answer.
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
    for (ssize_t count; (count = read(fd, block, sizeof block)) > 0;) text.append(block, static_cast<size_t>(count));
    close(fd);
    const auto split = text.find("\r\n\r\n");
    if (split == std::string::npos) std::exit(1);
    const std::string head = text.substr(0, split + 2);
    std::string content = text.substr(split + 4);
    if (!header(head, "transfer-encoding").empty()) content = join_chunks(content);
    return {std::stoi(head.substr(9, 3)), header(head, "lambda-runtime-aws-request-id"),
            header(head, "lambda-runtime-deadline-ms"), content};
}

std::string describe(const std::exception& error) {
    std::string text;
    for (const char* at = error.what(); *at; ++at) {
        if (*at == '"' || *at == '\\') text += '\\';
        text += *at;
    }
    return "{\"errorType\": \"std::exception\", \"errorMessage\": \"" + text + "\"}";
}

}  // namespace

int main() {
    Handler handler;
    try {
        handler = load();
    } catch (const std::exception& error) {
        call("POST", prefix + "/init/error", describe(error));
        return 1;
    }
    while (true) {
        const Answer next = call("GET", prefix + "/invocation/next", "");
        if (next.status != 200) return 1;
        const std::string invocation = prefix + "/invocation/" + next.id;
        try {
            call("POST", invocation + "/response", handler(next.body, next.deadline));
        } catch (const std::exception& error) {
            call("POST", invocation + "/error", describe(error));
        }
    }
}
