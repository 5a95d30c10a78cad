-- The position of the last message. KEYS: meta. ARGV: epoch.
return head()
