// One connection for the whole application, made anew when the token is another.

import { createContext, useEffect, useState } from "react";
import { io } from "socket.io-client";

export const SocketContext = createContext(null);

export function SocketProvider({ url, token, children }) {
  const [socket, setSocket] = useState(null);

  useEffect(() => {
    if (!token) return undefined;
    const made = io(url, { auth: { token } });
    made.onAny((event, ...args) => console.debug("[socket]", event, ...args));
    made.on("connect_error", (error) => console.debug("[socket] connect_error", error.data?.code ?? error.message));
    setSocket(made);
    return () => {
      made.disconnect();
      setSocket(null);
    };
  }, [url, token]);

  return <SocketContext value={socket}>{children}</SocketContext>;
}
