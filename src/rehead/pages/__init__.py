"""What rehead's web pages are made of: style sheets, JavaScript modules, and tables of words.

- base.css: colours of both schemes, type, buttons. answer.css: a photo beside its answer.
- camera.js: `Camera`. live.js: that of a page that answers. files.js: what is dropped or pasted. answer.js:
  bars and map. words.js: `word(key)`. requests.js: JSON of the page's own server.
- source.py: how a page gets them. words.py: which language's table it gets.
"""
