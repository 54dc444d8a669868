{#- The model's columns in the order of its contract, where new ones come last: so a view is replaced in
    place, and rows of another query can follow. dbt gives unit tests no contract. -#}
{% macro contract_order() -%}
    {{ model.columns | join(', ') or '*' }}
{%- endmacro %}
