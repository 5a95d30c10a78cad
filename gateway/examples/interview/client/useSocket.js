// A component's view of the connection: it is in the session while it is mounted, and hears the events that it names.

import { useCallback, useContext, useEffect, useRef, useState } from "react";
import { SocketContext } from "./SocketProvider.jsx";

export function useSocket({ sessionId, events = {} } = {}) {
  const socket = useContext(SocketContext);
  const [connected, setConnected] = useState(false);

  useEffect(() => {
    if (!socket) return undefined;
    const follow = () => setConnected(socket.connected);
    follow();
    socket.on("connect", follow);
    socket.on("disconnect", follow);
    return () => {
      socket.off("connect", follow);
      socket.off("disconnect", follow);
    };
  }, [socket]);

  useEffect(() => {
    if (!socket || sessionId === undefined) return undefined;
    const join = () => {
      socket.emit("join-session", sessionId, ({ ok, error }) => {
        if (!ok) console.warn(`join-session ${sessionId}: ${error.message}`);
      });
    };
    // a recovered session is still in its rooms
    const joinAgain = () => socket.recovered || join();
    if (socket.connected) join();
    socket.on("connect", joinAgain);
    return () => {
      socket.off("connect", joinAgain);
      if (socket.connected) socket.emit("leave-session", sessionId);
    };
  }, [socket, sessionId]);

  // the handlers may be others at each render, the listeners stay
  const handlers = useRef(events);
  useEffect(() => {
    handlers.current = events;
  });
  const names = Object.keys(events).sort().join();
  useEffect(() => {
    if (!socket || names === "") return undefined;
    const listeners = names.split(",").map((name) => [name, (...args) => handlers.current[name]?.(...args)]);
    for (const [name, listener] of listeners) socket.on(name, listener);
    return () => {
      for (const [name, listener] of listeners) socket.off(name, listener);
    };
  }, [socket, names]);

  const emit = useCallback((...args) => socket?.emit(...args), [socket]);
  const subscribe = useCallback((event, handler) => socket?.on(event, handler), [socket]);
  const unsubscribe = useCallback((event, handler) => socket?.off(event, handler), [socket]);
  return { connected, emit, subscribe, unsubscribe, socket };
}
