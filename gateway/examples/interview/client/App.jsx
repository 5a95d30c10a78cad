// Signs in, opens one of the user's sessions, and shows what happens there.

import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { SocketProvider } from "./SocketProvider.jsx";
import { useSocket } from "./useSocket.js";

function Session({ sessionId }) {
  const [session, setSession] = useState({});
  const [roles, setRoles] = useState({});
  const [feedback, setFeedback] = useState([]);
  const { connected } = useSocket({
    sessionId,
    events: {
      "session-updated": (event) => setSession(event.session),
      "role-selected": ({ userId, role }) => setRoles((all) => ({ ...all, [userId]: role })),
      "feedback-updated": ({ newFeedback }) => setFeedback((all) => [...all, newFeedback]),
    },
  });
  return (
    <section id="session">
      <h2>{`Session ${sessionId} (${connected ? "connected" : "away"})`}</h2>
      <p id="title">{session.title ?? "no title yet"}</p>
      <ul id="roles">{Object.entries(roles).map(([user, role]) => <li key={user}>{`${user}: ${role}`}</li>)}</ul>
      <ul id="feedback">{feedback.map(({ id, text }, index) => <li key={index}>{`${id}: ${text}`}</li>)}</ul>
    </section>
  );
}

function Main({ sessions }) {
  const { connected, emit, subscribe, unsubscribe, socket } = useSocket();
  const [open, setOpen] = useState();
  const [due, setDue] = useState([]);
  const [answer, setAnswer] = useState("");

  // what is for the user comes wherever he is in the application
  useEffect(() => {
    const note = ({ sessionId }) => setDue((all) => [...all, sessionId]);
    subscribe("feedback-required", note);
    return () => unsubscribe("feedback-required", note);
  }, [subscribe, unsubscribe]);

  const ask = (form) => emit("join-session", form.get("session"), ({ ok, error }) => setAnswer(ok ? "joined" : `${error.code}: ${error.message}`));
  return (
    <main>
      <p id="status">{connected ? `connected as ${socket.id}` : "not connected"}</p>
      <nav>
        {sessions.map((id) => <button key={id} id={`open-${id}`} onClick={() => setOpen(id)}>{`open ${id}`}</button>)}
        <button id="close" onClick={() => setOpen(undefined)}>close</button>
        <button id="cut" onClick={() => socket.io.engine.close()}>cut</button>
      </nav>
      <form action={ask}>
        <input name="session" placeholder="any session" />
        <button id="ask">join</button> <output id="answer">{answer}</output>
      </form>
      <p>feedback is due for: <span id="due">{due.join(", ")}</span></p>
      {open !== undefined && <Session key={open} sessionId={open} />}
    </main>
  );
}

function App() {
  const [account, setAccount] = useState(null);
  const signIn = async (form) => {
    const response = await fetch("/sign-in", { method: "POST", body: JSON.stringify({ user: form.get("user") }) });
    setAccount(await response.json());
  };
  if (!account) {
    return (
      <form action={signIn}>
        <input name="user" placeholder="ann or bob" /> <button id="sign-in">sign in</button>
      </form>
    );
  }
  return (
    <SocketProvider url={account.gateway} token={account.token}>
      <Main sessions={account.sessions} />
    </SocketProvider>
  );
}

createRoot(document.getElementById("root")).render(<StrictMode><App /></StrictMode>);
