<?php
// Takes cams-relay's deliveries: `WEBHOOK_SECRET=whsec_… php -S 127.0.0.1:9000 receiver.php`, or put it on your
// web server. PHP 8.0 or later alone.

$key = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET')));
// A file for each webhook-id; in earnest, a unique column beside what you store.
$seen = (getenv('SEEN_FOLDER') ?: sys_get_temp_dir() . '/cams-relay-seen') . '/';

function is_genuine(string $key, string $id, string $timestamp, string $signatures, string $body): bool
{
    $signed = "$id.$timestamp.$body";
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, binary: true));
    $fresh = ctype_digit($timestamp) && abs(time() - (int) $timestamp) < 300;
    // One of several: while a secret is changed, both sign.
    $fitting = array_filter(explode(' ', $signatures), fn ($given) => hash_equals($expected, $given));
    // An empty key, where WEBHOOK_SECRET isn't set, would fit what anybody signs with one.
    return $key !== '' && $fresh && count($fitting) > 0;
}

$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
if (!is_genuine($key, $id, $timestamp, $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '', $body)) {
    http_response_code(401);
    exit;
}
if (!file_exists($seen . basename($id))) {
    $events = json_decode($body, flags: JSON_THROW_ON_ERROR);
    foreach (is_array($events) ? $events : [$events] as $event) {
        file_put_contents('php://stdout', json_encode($event) . "\n"); // what you do with it
    }
    is_dir($seen) || mkdir($seen, 0700, recursive: true);
    touch($seen . basename($id)); // afterwards: what failed above comes again
}
http_response_code(204);
