// Namespaces as the protocol suites expect them, made by configuration alone.

export const echoEvents = [
  { event: "message", action: "relay", to: "sender", as: "message-back" },
  { event: "message-with-ack", action: "acknowledge", with: "received" },
];

export const suiteNamespace = (name) => ({
  name,
  recovery: false,
  on_connect: { emit: [{ event: "auth", args: ["{auth}"] }] },
  events: echoEvents,
});

/** Intervals short enough to see several heartbeats, and the two namespaces of the official suites. */
export const suiteConfig = {
  engine: { ping_interval: "300ms", ping_timeout: "200ms", max_payload: 1000000 },
  limits: { connect_timeout: "1s" },
  namespaces: [suiteNamespace("/"), suiteNamespace("/custom")],
};

/** A namespace for the client suites: everything a client may be allowed, with or without recovery. */
export const openNamespace = (name, recovery, more = {}) => ({
  name,
  recovery,
  on_connect: { join: ["user:{auth.user}", "news"] },
  events: [
    ...echoEvents,
    { event: "join", action: "join", room: "{args.0}" },
    { event: "leave", action: "leave", room: "{args.0}" },
    { event: "say", action: "relay", to: "room", room: "{args.0}", as: "said" },
    { event: "tell", action: "relay", to: "room", room: "{args.0}", as: "told", except_sender: true },
    { event: "answer", action: "acknowledge", with: [42, { text: "fixed" }] },
    { event: "hush", action: "ignore" },
  ],
  ...more,
});
