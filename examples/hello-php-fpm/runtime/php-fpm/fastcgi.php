<?php

// FastCGI as PHP-FPM speaks it: one request on a connection of its own.
declare(strict_types=1);

/** What a script answered. headers: pairs, in order, a name more than once if the script said so. */
final class Answer
{
    public function __construct(
        public readonly int $status,
        public readonly array $headers,
        public readonly string $body,
    ) {
    }
}

final class FastCgi
{
    private const BEGIN = 1;
    private const END = 3;
    private const PARAMS = 4;
    private const STDIN = 5;
    private const STDOUT = 6;
    private const STDERR = 7;
    private const RESPONDER = 1;
    private const PIECE = 65528;

    public function __construct(private readonly string $socket)
    {
    }

    /** Throws if FPM's worker died, or refused. */
    public function request(array $parameters, string $body): Answer
    {
        $connection = stream_socket_client("unix://$this->socket", $code, $text);
        if ($connection === false) {
            throw new RuntimeException("PHP-FPM does not answer: $text");
        }
        stream_set_timeout($connection, 86400);
        try {
            $this->send($connection, self::record(self::BEGIN, pack('nCx5', self::RESPONDER, 0)));
            $this->send($connection, self::stream(self::PARAMS, self::pairs($parameters)));
            $this->send($connection, self::stream(self::STDIN, $body));
            return self::parse($this->receive($connection));
        } finally {
            fclose($connection);
        }
    }

    /** @param resource $connection */
    private function send($connection, string $bytes): void
    {
        for ($sent = 0; $sent < strlen($bytes); $sent += $count) {
            $count = fwrite($connection, $sent === 0 ? $bytes : substr($bytes, $sent));
            if ($count === false || $count === 0) {
                throw new RuntimeException('PHP-FPM closed the connection before it had the request');
            }
        }
    }

    /** @param resource $connection */
    private function receive($connection): string
    {
        $output = '';
        while (true) {
            $head = unpack('Cversion/Ctype/nid/nlength/Cpadding', self::exactly($connection, 8));
            $content = self::exactly($connection, $head['length'] + $head['padding']);
            $content = substr($content, 0, $head['length']);
            switch ($head['type']) {
                case self::STDOUT:
                    $output .= $content;
                    break;
                case self::STDERR:
                    fwrite(STDERR, $content . "\n");
                    break;
                case self::END:
                    if (ord($content[4]) !== 0) {
                        throw new RuntimeException('PHP-FPM refused the request: protocol status ' . ord($content[4]));
                    }
                    return $output;
            }
        }
    }

    /** @param resource $connection */
    private static function exactly($connection, int $length): string
    {
        $bytes = '';
        while (strlen($bytes) < $length) {
            $piece = fread($connection, $length - strlen($bytes));
            if ($piece === false || $piece === '') {
                throw new RuntimeException("PHP-FPM's worker ended in the middle of the request: the log may say why");
            }
            $bytes .= $piece;
        }
        return $bytes;
    }

    private static function record(int $type, string $content): string
    {
        return pack('CCnnCx', 1, $type, 1, strlen($content), 0) . $content;
    }

    /** Ended by an empty record. */
    private static function stream(int $type, string $content): string
    {
        $records = '';
        for ($at = 0; $at < strlen($content); $at += self::PIECE) {
            $records .= self::record($type, substr($content, $at, self::PIECE));
        }
        return $records . self::record($type, '');
    }

    private static function pairs(array $parameters): string
    {
        $bytes = '';
        foreach ($parameters as $name => $value) {
            $bytes .= self::length((string) $name) . self::length((string) $value) . $name . $value;
        }
        return $bytes;
    }

    private static function length(string $text): string
    {
        return strlen($text) < 128 ? chr(strlen($text)) : pack('N', strlen($text) | 0x80000000);
    }

    private static function parse(string $output): Answer
    {
        [$head, $body] = explode("\r\n\r\n", $output, 2) + [1 => ''];
        $status = 200;
        $headers = [];
        foreach (explode("\r\n", $head) as $line) {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            if (strcasecmp($name, 'Status') === 0) {
                $status = (int) trim($value);
            } elseif ($name !== '') {
                $headers[] = [$name, trim($value)];
            }
        }
        return new Answer($status, $headers, $body);
    }
}
