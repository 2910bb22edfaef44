<?php

// Loaded while PHP-FPM starts.
declare(strict_types=1);

if (getenv('CONFORMANCE_INIT_ERROR')) {
    throw new RuntimeException('asked to fail');
}
