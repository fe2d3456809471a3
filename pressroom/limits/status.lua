-- -> {now_us, state (flat), workers (flat), operator's reason or false, its milliseconds left}
-- ARGV: 1 clock in us (tests only)
return {string.format('%.0f', clock_us(ARGV[1])), redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]),
  redis.call('GET', KEYS[3]), redis.call('PTTL', KEYS[3])}
