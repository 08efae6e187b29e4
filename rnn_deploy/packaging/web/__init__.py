"""A bundle as a web page that runs and checks the model in the browser.

packager      `--for web`: the files of the page
golden        golden vectors with their budgets, as JSON
controls      choose the control for the model's inputs
single_file   all files in one HTML file
page          HTML, CSS and JavaScript of the page
"""
