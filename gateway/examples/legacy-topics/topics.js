// Written for the client of Socket.IO 1.0, and for the browsers of its time.

(function () {
  var parameter = /[?&]gateway=([^&]*)/.exec(location.search);
  var gateway = parameter ? decodeURIComponent(parameter[1]) : 'http://localhost:8080';

  function log(text) {
    document.getElementById('log').appendChild(document.createTextNode(text + '\n'));
  }

  function value(id) {
    return document.getElementById(id).value;
  }

  function publication() {
    return { topic: value('topic'), payload: { text: value('text') } };
  }

  function start() {
    // the cookie `auth` goes with the handshake
    var socket = io(gateway);
    var actions = {
      subscribe: function () {
        socket.emit('subscribe', value('topic'), function (answer) {
          log('subscribe ' + JSON.stringify(answer));
        });
      },
      unsubscribe: function () {
        socket.emit('unsubscribe', value('topic'), function (answer) {
          log('unsubscribe ' + JSON.stringify(answer));
        });
      },
      publish: function () {
        socket.emit('publish', publication());
      },
      'publish-and-ask': function () {
        socket.emit('publish', publication(), function (answer) {
          log('publish ' + JSON.stringify(answer));
        });
      }
    };
    for (var id in actions) document.getElementById(id).onclick = actions[id];
    socket.on('connect', function () { log('connect'); });
    socket.on('error', function (error) { log('error ' + error); });
    socket.on('disconnect', function (reason) { log('disconnect ' + reason); });
    socket.on('message', function (message) { log('message ' + message.topic + ' ' + JSON.stringify(message.payload)); });
    socket.on('publish-error', function (error) { log('publish-error ' + error.code); });
    window.socket = socket;
  }

  var script = document.createElement('script');
  script.src = gateway + '/socket.io/socket.io.js';
  script.onload = start;
  document.body.appendChild(script);
})();
