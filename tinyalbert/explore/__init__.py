"""The explorer page: a look inside one's own model, computed live by this package.

    explorer    the folder that is looked into: model, tokenizer, the text in question
    pieces ... answers    one file for each view of the page: what it computes
    server      hands the page and the views' numbers to the browser of this machine
    page        the files of the page, and one file with everything in it, to send round
    page/       the page itself: HTML, CSS and JavaScript modules

Every view is a function (explorer, reading, ...) -> dict of plain values, which become JSON.
"""
